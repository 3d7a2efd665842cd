"""Render a short clip with sound to try midframe on: a ball bounces before a gliding, textured
wall.

python examples/render_sample.py sample.mp4
"""

import sys
from fractions import Fraction
from typing import Any

import av
import numpy as np

HEIGHT, WIDTH, FRAMES, RATE = 180, 320, 36, Fraction(24)
SOUND_RATE, CHUNK = 48000, 1024

Array = np.ndarray[Any, Any]


def picture(time: float) -> Array:
    """The frame at a time in seconds, (H, W, 3) uint8, drawn at twice the size and averaged against
    jagged edges."""
    rows, columns = np.mgrid[0 : 2 * HEIGHT, 0 : 2 * WIDTH].astype(np.float32) / 2
    wall = columns - 40 * time
    bricks = ((wall + (rows // 18 % 2) * 20) % 40 < 1.5) | (rows % 18 < 1.5)
    grain = np.sin(wall * 0.31) * np.sin(rows * 0.47 + wall * 0.11)
    image = np.stack([150 + 18 * grain, 90 + 14 * grain, 70 + 12 * grain], axis=-1)
    image[bricks] = (190, 185, 175)
    across, height = 40 + 150 * time, 140 - 100 * abs(np.sin(3.2 * time))
    distance = np.hypot(rows - height, columns - across)
    light = np.clip(1.2 - np.hypot(rows - height + 8, columns - across + 8) / 36, 0.25, 1)
    image[distance < 22] = (light[..., None] * (250, 210, 60))[distance < 22]
    averaged = image.reshape(HEIGHT, 2, WIDTH, 2, 3).mean(axis=(1, 3))
    result: Array = np.rint(np.clip(averaged, 0, 255)).astype(np.uint8)
    return result


def render(path: str) -> None:
    """Write the clip."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", RATE, options={"crf": "14"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", SOUND_RATE, layout="mono")
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(float(index / RATE)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for start in range(0, int(FRAMES / RATE * SOUND_RATE), CHUNK):
            moments = (start + np.arange(CHUNK)) / SOUND_RATE
            tone = 0.2 * np.sin(2 * np.pi * (330 + 110 * np.sin(6.4 * moments)) * moments)
            chunk = av.AudioFrame.from_ndarray(
                tone.astype(np.float32)[None], format="fltp", layout="mono"
            )
            chunk.sample_rate, chunk.pts = SOUND_RATE, start
            container.mux(sound.encode(chunk))
        container.mux(sound.encode(None))


if __name__ == "__main__":
    if len(sys.argv) > 2 or sys.argv[-1].startswith("-"):
        raise SystemExit(__doc__)
    render(sys.argv[1] if len(sys.argv) > 1 else "sample.mp4")
