"""Animate a part of a video at a quarter of its speed: its own frames beside interpolated ones.

python examples/animation.py clip.mp4 112 136 picture.webp                     (frames 112 to 136)
python examples/animation.py clip.mp4 112 136 picture.webp 320,60,960,600      (a part of them:
left, top, width, height)
"""

import sys
from fractions import Fraction
from itertools import pairwise

import av
from PIL import Image, ImageDraw, ImageFont

from midframe import Interpolator
from midframe.media.pictures.images import Array

SLOWER = 4
"""Shown frames for each source frame."""
WIDTH = 480
"""Of each of the two pictures, in pixels."""
GAP = 6
"""White between them, in pixels."""
QUALITY = 65
"""Of WebP, from 0 to 100."""


def read(path: str, first: int, last: int) -> tuple[list[Array], Fraction]:
    """Frames of a video, each (H, W, 3) uint8, and its frame rate."""
    with av.open(path) as container:
        rate = container.streams.video[0].average_rate
        decoded = enumerate(container.decode(video=0))
        frames = [each.to_ndarray(format="rgb24") for i, each in decoded if first <= i <= last]
    if len(frames) < 2 or rate is None:
        raise SystemExit(f"{path} has no frames {first} to {last}: choose two numbers within it")
    return frames, rate


def slowed(frames: list[Array]) -> tuple[list[Array], list[Array]]:
    """Frames repeated, and frames interpolated, `SLOWER` of each for a source frame."""
    interpolator = Interpolator()
    times = [step / SLOWER for step in range(1, SLOWER)]
    repeated, interpolated = [], []
    for first, second in pairwise(frames):
        repeated += [first] * SLOWER
        interpolated += [first, *interpolator.interpolate_many(first, second, times)]
    return repeated, interpolated


def cropped(frame: Array, part: str) -> Image.Image:
    """A part "left,top,width,height" of a frame, `WIDTH` wide; all of it if the text is empty."""
    left, top, width, height = map(int, part.split(",")) if part else (0, 0, *frame.shape[1::-1])
    image = Image.fromarray(frame[top : top + height, left : left + width])
    return image.resize((WIDTH, round(WIDTH * height / width)), Image.Resampling.LANCZOS)


def labelled(image: Image.Image, text: str) -> Image.Image:
    """A picture with a text in its upper left corner."""
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=18)
    left, top, right, bottom = draw.textbbox((10, 8), text, font=font)
    draw.rectangle((left - 6, top - 5, right + 6, bottom + 5), fill="black")
    draw.text((10, 8), text, font=font, fill="white")
    return image


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures of one size in a row."""
    result = Image.new("RGB", (left.width + GAP + right.width, left.height), "white")
    result.paste(left, (0, 0))
    result.paste(right, (left.width + GAP, 0))
    return result


def animate(video: str, first: int, last: int, target: str, part: str = "") -> None:
    """Write the animation."""
    frames, rate = read(video, first, last)
    texts = f"source, {round(rate)} fps", f"midframe, {round(rate * SLOWER)} fps"
    pictures = [
        side_by_side(
            *(labelled(cropped(each, part), text) for each, text in zip(pair, texts, strict=True))
        )
        for pair in zip(*slowed(frames), strict=True)
    ]
    pictures[0].save(
        target,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / rate),
        loop=0,
        quality=QUALITY,
        method=6,
    )


if __name__ == "__main__":
    if not 5 <= len(sys.argv) <= 6:
        raise SystemExit(__doc__)
    animate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
