"""Peak memory of the command line on a 4K pair and on a long clip, each rendered first.

python benchmarks/memory.py            (about a quarter of an hour on two cores)
python benchmarks/memory.py --minutes 1
"""

import argparse
import os
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from midframe.media.pictures.images import Array

CLIP_RATE, CLIP_SIZE = Fraction(5), (180, 320)
GIB = 2**30


def picture(time: float, height: int, width: int) -> Array:
    """A gliding texture, (H, W, 3) uint8."""
    rows, columns = np.ogrid[0:height, 0:width]
    waves = [np.sin((columns - 20 * time) / (9 + k)) * np.sin(rows / (7 + k)) for k in range(3)]
    result: Array = np.rint(128 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)
    return result


def render_clip(path: Path, minutes: float) -> None:
    """Write a clip of some minutes, with silence as its sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", CLIP_RATE, options={"preset": "veryfast"})
        stream.height, stream.width = CLIP_SIZE
        stream.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", 48000, layout="mono")
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 9600), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 48000
        for index in range(int(minutes * 60 * CLIP_RATE)):
            frame = av.VideoFrame.from_ndarray(
                picture(float(index / CLIP_RATE), *CLIP_SIZE), format="rgb24"
            )
            silence.pts = index * 9600
            container.mux(stream.encode(frame))
            container.mux(sound.encode(silence))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))


def measure(name: str, *words: str) -> None:
    """Run a midframe command and print its time and peak memory."""
    start = time.monotonic()
    process = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "midframe", *words])
    _, status, usage = os.wait4(process, 0)
    taken = time.monotonic() - start
    print(
        f"{name}: {usage.ru_maxrss * 1024 / GIB:.2f} GiB at most, {taken:.0f} s, status {status}",
        flush=True,
    )


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--minutes", type=float, nargs="*", default=[1, 10], help="lengths of the clips"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in (0, 1):
            Image.fromarray(picture(index, 2160, 3840)).save(folder / f"{index}.png")
        measure("3840x2160 pair", "image", str(folder / "0.png"), str(folder / "1.png"))
        for minutes in parser.parse_args().minutes:
            render_clip(folder / f"{minutes}.mp4", minutes)
            measure(f"320x180, {minutes:g} minutes", "video", str(folder / f"{minutes}.mp4"))


if __name__ == "__main__":
    main()
