"""What decoding, converting and encoding add to the time of the network, on a 720p clip.

python benchmarks/video.py [CLIP] [--model NAME] [--frames 12]

Without a clip one is rendered. Both ways are measured in turns: the network alone on frames that
lie ready, and the whole way from file to file.
"""

import argparse
import tempfile
import time
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import av
import numpy as np

from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import to_rgb
from midframe.media.reading.reader import VideoReader
from midframe.video.pipeline import interpolate_video

ROUNDS = 3


def render_clip(path: Path, frames: int) -> None:
    """Write a gliding texture with noise, of 1280x720."""
    rows, columns = np.mgrid[0:720, 0:1280].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 3, (720, 1280, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for n in range(frames):
            waves = [
                np.sin((columns - 6 * n) / (9 + 7 * k)) * np.sin(rows / (7 + 5 * k))
                for k in range(3)
            ]
            image = np.clip(np.rint(128 + 90 * np.stack(waves, axis=-1) + noise), 0, 255).astype(
                np.uint8
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--model", default="sepconv")
    parser.add_argument("--frames", type=int, default=12)
    options = parser.parse_args()
    interpolator = Interpolator(options.model)
    with tempfile.TemporaryDirectory() as name:
        clip = options.clip or Path(name) / "clip.mp4"
        if not options.clip:
            render_clip(clip, options.frames)
        with VideoReader(clip) as reader:
            _, colour = reader.first_picture()
            frames = [
                to_rgb(frame.picture, colour) for frame in islice(reader.read(), options.frames)
            ]
            length = float(options.frames / reader.rate)
        pairs = list(pairwise(frames))
        interpolator.interpolate(*pairs[0])  # compiles what is compiled once
        alone, whole = [], []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            for first, second in pairs:
                interpolator.interpolate(first, second, Fraction(1, 2))
            middle = time.perf_counter()
            interpolate_video(
                clip, Path(name) / "out.mp4", model=interpolator, end=length, overwrite=True
            )
            alone.append(middle - begin)
            whole.append(time.perf_counter() - middle)
    height, width = frames[0].shape[:2]
    print(f"{width}x{height}, {len(pairs)} interpolated frames; medians of {ROUNDS}, in turns")
    print(f"network alone       {median(alone) / len(pairs):.3f} s per frame")
    print(f"from file to file   {median(whole) / len(pairs):.3f} s per frame")
    print(f"the rest adds       {100 * (median(whole) / median(alone) - 1):.0f} %")


if __name__ == "__main__":
    main()
