"""Thumbnails of frames with their times, with which a result is compared with its source."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from midframe.media.colour.conversion import BT470BG, reformat
from midframe.media.pictures.images import Array
from midframe.media.pixel_formats import has_alpha, is_rgb

THUMBNAIL = (32, 18)
"""Width and height of a thumbnail."""


@dataclass(frozen=True)
class TimedThumbnail:
    """The thumbnail of a frame, and the time at which the frame is shown."""

    time: Fraction
    """In seconds."""
    thumbnail: Array
    """(18, 32) luma, uint8."""


def make_thumbnail(picture: av.VideoFrame) -> Array:
    """Downscale the luma of a frame to (18, 32) uint8 of limited range, independent of its colour
    tags; transparent pixels become black."""
    width, height = THUMBNAIL
    if has_alpha(picture.format):
        picture = _on_black(picture)
    full = (
        int(picture.color_range) == ColorRange.JPEG
        or picture.format.name.startswith("yuvj")
        or is_rgb(picture.format)
    )
    small = reformat(
        picture,
        width=width,
        height=height,
        format="yuv420p",
        src_colorspace=BT470BG,
        dst_colorspace=BT470BG,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.AREA,
    )
    lines = np.frombuffer(bytes(small.planes[0]), np.uint8).reshape(height, -1)
    luma: Array = lines[:, :width].copy()
    return luma


def _on_black(picture: av.VideoFrame) -> av.VideoFrame:
    """Composite a frame with alpha onto black, as rgb24."""
    rgba = reformat(
        picture, format="rgba", src_colorspace=BT470BG, dst_colorspace=BT470BG
    ).to_ndarray()
    rgb = rgba[..., :3].astype(np.uint16) * rgba[..., 3:] // 255
    return av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
