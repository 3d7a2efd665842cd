"""Draw two frames, what averaging makes of them, and what midframe makes of them, side by side.

python examples/before_after.py sample.mp4 12 picture.png     (frames 12 and 13 of a video)
"""

import sys

import av
import numpy as np
from PIL import Image

import midframe
from midframe.images import Array

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


if __name__ == "__main__":
    first, second = frames(sys.argv[1], int(sys.argv[2]))
    average = np.rint((first.astype(float) + second) / 2).astype(np.uint8)
    Image.fromarray(side_by_side([first, second, average, midframe.interpolate(first, second)])).save(sys.argv[3])
