"""Draw two frames, what averaging makes of them, and what midframe makes of them, side by side.

python examples/before_after.py sample.mp4 12 picture.png     (frames 12 and 13 of a video)
"""

import sys

import av
import numpy as np
from PIL import Image

import midframe
from midframe.media.pictures.images import Array

ENLARGED = 3
"""How many times a part is enlarged."""
GAP = 6
"""White between the pictures, in pixels."""


def frames(path: str, index: int) -> tuple[Array, Array]:
    """Two neighbouring frames of a video, (H, W, 3) uint8."""
    with av.open(path) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return pictures[index], pictures[index + 1]


def side_by_side(pictures: list[Array]) -> Array:
    """Pictures of one size in a row."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def enlarged(picture: Array, part: str) -> Array:
    """A part "left,top,width,height" of a picture, enlarged."""
    left, top, width, height = map(int, part.split(","))
    image = Image.fromarray(picture[top : top + height, left : left + width])
    return np.asarray(image.resize((width * ENLARGED, height * ENLARGED), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        raise SystemExit(__doc__)
    video, index, target, *part = sys.argv[1:]
    first, second = frames(video, int(index))
    average = np.rint((first.astype(float) + second) / 2).astype(np.uint8)
    shown = [first, second, average, midframe.interpolate(first, second)]
    Image.fromarray(
        side_by_side([enlarged(each, part[0]) if part else each for each in shown])
    ).save(target)
