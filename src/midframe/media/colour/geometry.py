"""Geometry of frames: rotation, mirroring, cropping, sample aspect ratio. Stored as tags, or
applied to the samples."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

from midframe.media.colour.filters import PictureFilter
from midframe.media.colour.side_data import side_data_of

UNIT = 1 << 16
"""1 in the fixed point of a display matrix (ISO/IEC 14496-12, 8.2.2)."""
FILTERS = {
    (1, 0, 0, 1): (),
    (-1, 0, 0, 1): ("hflip",),
    (1, 0, 0, -1): ("vflip",),
    (-1, 0, 0, -1): ("hflip", "vflip"),
    (0, 1, 1, 0): ("transpose=dir=cclock_flip",),
    (0, 1, -1, 0): ("transpose=dir=clock",),
    (0, -1, 1, 0): ("transpose=dir=cclock",),
    (0, -1, -1, 0): ("transpose=dir=clock_flip",),
}
"""Filters that make a frame upright, by its display matrix (a, b, c, d): a point (x, y) is shown at
(ax + cy, bx + dy)."""
CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
"""The form in which FFmpeg prints a crop of the container: left, right, top, bottom."""


@dataclass(frozen=True)
class Geometry:
    """Rotation, mirroring, cropping and sample aspect ratio of a frame."""

    display_matrix: tuple[int, ...] | None = None
    """Display matrix, 9 integers in FFmpeg's order; None for an upright frame."""
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels that the container hides: top, bottom, left, right."""
    sample_aspect_ratio: Fraction | None = None
    """Width of a pixel divided by its height; None if not stated."""

    @property
    def turns(self) -> tuple[int, int, int, int]:
        """Return the matrix as signs (a, b, c, d); (1, 0, 0, 1) if it is not a rotation by
        multiples of 90 degrees."""
        if self.display_matrix is None:
            return (1, 0, 0, 1)
        rotation = self.display_matrix[:2] + self.display_matrix[3:5]
        signs = tuple(round(value / UNIT) for value in rotation)
        return signs if signs in FILTERS else (1, 0, 0, 1)

    @property
    def swaps_sides(self) -> bool:
        """Return whether the upright frame has height and width exchanged."""
        return self.turns[0] == 0


def geometry_of(
    picture: av.VideoFrame, description: str, sample_aspect_ratio: Fraction | None
) -> Geometry:
    """Read the geometry of a frame.

    Args:
        picture: a decoded frame.
        description: of its stream, as FFmpeg prints it.
        sample_aspect_ratio: of the stream.
    """
    matrix = None
    if content := side_data_of(picture).get("DISPLAYMATRIX"):
        matrix = struct.unpack("<9i", content)
    found = CROPPING.search(description)
    left, right, top, bottom = (int(text) for text in found.groups()) if found else (0, 0, 0, 0)
    if top + bottom >= picture.height or left + right >= picture.width:
        top = bottom = left = right = 0
    geometry = Geometry(matrix, (top, bottom, left, right), sample_aspect_ratio)
    upright = geometry.turns == (1, 0, 0, 1)
    return Geometry(None, geometry.crop, sample_aspect_ratio) if upright else geometry


class OutputGeometry:
    """Applies to frames the part of the geometry that the result cannot store as tags.

    Args:
        geometry: of the stream.
        stores_display_matrix: the result can store a display matrix.
        stores_aspect_ratio: the result can store a sample aspect ratio.
    """

    def __init__(
        self, geometry: Geometry, *, stores_display_matrix: bool, stores_aspect_ratio: bool
    ) -> None:
        self._filters = [*_crop(geometry.crop)]
        self.display_matrix = geometry.display_matrix if stores_display_matrix else None
        """Display matrix to store in the result; None if there is none."""
        aspect = geometry.sample_aspect_ratio
        if not stores_display_matrix:
            self._filters += FILTERS[geometry.turns]
            aspect = 1 / aspect if aspect and geometry.swaps_sides else aspect
        if aspect and aspect != 1 and not stores_aspect_ratio:
            width = f"max(1\\,round(iw*{aspect.numerator}/{aspect.denominator}))"
            self._filters.append(f"scale=w={width}:h=ih:flags=bicubic")
            aspect = None
        self.sample_aspect_ratio = aspect
        """Sample aspect ratio to store in the result; None if there is none."""
        pairs = [text.partition("=") for text in self._filters]
        self._filter = PictureFilter(*((name, arguments) for name, _, arguments in pairs))

    def apply(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Return the frame to encode; the same object if nothing is applied."""
        return self._filter.apply(picture) if self._filters else picture


def _crop(crop: Sequence[int]) -> list[str]:
    if not any(crop):
        return []
    top, bottom, left, right = crop
    return [f"crop=w=iw-{left + right}:h=ih-{top + bottom}:x={left}:y={top}:exact=1"]
