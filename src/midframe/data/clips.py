"""Reading the frames of a video for a dataset: upright, 8 bits, downscaled, with its cuts.

The reader is that of `midframe video`, so rotation, cropping and damage are handled in the same
way.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from midframe.media.colour.conversion import colour_of, to_rgb
from midframe.media.pictures.images import eight_bit
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.scenes import DEFAULT_THRESHOLD

Image = np.ndarray[Any, np.dtype[np.uint8]]


class ClipFrame(NamedTuple):
    """A frame of a clip."""

    image: Image
    """(H, W, 3) RGB; height and width are even."""
    begins_scene: bool
    """Whether there is a cut before it."""


def read_clip(path: Path, max_short_side: int) -> Iterator[ClipFrame]:
    """Yield the frames of a video in order.

    Args:
        path: of the video.
        max_short_side: larger frames are downscaled to this short side, in pixels.

    Raises:
        VideoError: the video cannot be read. Damage within it is bridged.
    """
    # one process per core reads clips, so the decoder uses a single thread
    with VideoReader(path, DEFAULT_THRESHOLD, stores_display_matrix=False, threads=False) as reader:
        for frame in reader.read():
            image = eight_bit(to_rgb(frame.picture, colour_of(frame.picture)))[..., :3]
            yield ClipFrame(_downscale(image, max_short_side), frame.begins_scene)


def _downscale(image: Image, max_short_side: int) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, max_short_side / min(height, width))
    size = round(width * scale) // 2 * 2, round(height * scale) // 2 * 2
    if scale == 1:
        return np.ascontiguousarray(image[: size[1], : size[0]])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
