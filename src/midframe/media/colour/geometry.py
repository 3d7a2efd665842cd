"""How a picture lies: rotation, mirroring, cropping, shape of pixels. Carried as tags, or applied
to the samples."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from midframe.media.colour.conversion import converted_matrix
from midframe.media.colour.filters import PictureFilter
from midframe.media.colour.side_data import side_data_of
from midframe.media.reading.damage import Damage
from midframe.media.reading.video_file import time_of

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
"""What brings the samples of a display matrix (a, b, c, d) upright: a point (x, y) is shown at (ax
+ cy, bx + dy)."""
CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
"""How FFmpeg prints a crop of the container: left, right, top, bottom."""


@dataclass(frozen=True)
class Geometry:
    """How a picture lies."""

    matrix: tuple[int, ...] | None = None
    """Display matrix, 9 integers as FFmpeg has them; None for an upright picture."""
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels that the container hides: top, bottom, left, right."""
    sample_aspect_ratio: Fraction | None = None
    """Width of a pixel in its heights; None if not stated."""

    @property
    def turns(self) -> tuple[int, int, int, int]:
        """The matrix as signs (a, b, c, d); (1, 0, 0, 1) where it is no turn by quarters."""
        if self.matrix is None:
            return (1, 0, 0, 1)
        a, b, _, c, d, *_ = (round(value / UNIT) for value in self.matrix)
        return (a, b, c, d) if (a, b, c, d) in FILTERS else (1, 0, 0, 1)

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width change places when the picture is brought upright."""
        return self.turns[0] == 0


def geometry_of(
    picture: av.VideoFrame, description: str, sample_aspect_ratio: Fraction | None
) -> Geometry:
    """Read how a picture lies.

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


class Layout:
    """Applies to every frame of a stream what the result has no tag for.

    Args:
        geometry: of the stream.
        holds_matrix: the result carries a display matrix.
        holds_aspect: the result carries a sample aspect ratio.
    """

    def __init__(self, geometry: Geometry, *, holds_matrix: bool, holds_aspect: bool) -> None:
        self._filters = [*_crop(geometry.crop)]
        self.matrix = geometry.matrix if holds_matrix else None
        """The display matrix that is left for a tag."""
        aspect = geometry.sample_aspect_ratio
        if not holds_matrix:
            self._filters += FILTERS[geometry.turns]
            aspect = 1 / aspect if aspect and geometry.swaps_sides else aspect
        if aspect and aspect != 1 and not holds_aspect:
            self._filters.append(
                f"scale=w=max(1\\,round(iw*{aspect.numerator}/{aspect.denominator})):h=ih:flags=bicubic"
            )
            aspect = None
        self.sample_aspect_ratio = aspect
        """The sample aspect ratio that is left for a tag."""
        self._filter: PictureFilter | None = None
        self._form: tuple[int, int, str] | None = None
        """Size and pixel format that the filter is for."""

    def applied(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Return the picture as it is to be encoded; itself where nothing is to be done."""
        if not self._filters:
            return picture
        form = (picture.width, picture.height, picture.format.name)
        if self._filter is None or form != self._form:
            pairs = [text.partition("=") for text in self._filters]
            self._filter = PictureFilter(
                picture, *((name, arguments) for name, _, arguments in pairs)
            )
            self._form = form
        return self._filter.applied(picture)


class FrameArranger:
    """Crops, rotates and scales the frames of a stream, as far as the result has no tags for that.

    All frames get the size and the pixel format of the first one.

    Args:
        description: of the stream, as FFmpeg prints it.
        stream: the video stream.
        time_base: of its timestamps.
        damage: gets changes of the size.
        holds_matrix, holds_aspect: as in `Layout`.
    """

    def __init__(
        self,
        description: str,
        stream: Any,
        time_base: Fraction,
        damage: Damage,
        *,
        holds_matrix: bool,
        holds_aspect: bool,
    ) -> None:
        self.layout: Layout | None = None
        """Known from the first frame on."""
        self._description = description
        self._stream = stream
        self._time_base = time_base
        self._damage = damage
        self._holds = {"holds_matrix": holds_matrix, "holds_aspect": holds_aspect}
        self._form: dict[str, Any] | None = None
        """Size and pixel format of the first frame."""
        self._size: str | None = None
        """Width and height of the frame before, so that a change is reported once."""

    def arrange(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame as it is to be encoded."""
        if self.layout is None:
            geometry = geometry_of(frame, self._description, self._stream.sample_aspect_ratio)
            self.layout = Layout(geometry, **self._holds)
        arranged = self.layout.applied(frame)
        form = {"width": arranged.width, "height": arranged.height, "format": arranged.format.name}
        self._form = self._form or form
        size, first = (f"{each['width']}x{each['height']}" for each in (form, self._form))
        before, self._size = self._size, size
        if form == self._form:
            return arranged
        if size not in (first, before):
            self._damage.add(
                time_of(frame, self._time_base),
                f"the frame size changes to {size}, scaled to {first}",
            )
        matrix = converted_matrix(int(arranged.colorspace))
        scaled = arranged.reformat(**self._form, src_colorspace=matrix, dst_colorspace=matrix)
        scaled.pts, scaled.time_base, scaled.duration = (
            arranged.pts,
            arranged.time_base,
            arranged.duration,
        )
        return scaled


def _crop(crop: Sequence[int]) -> list[str]:
    top, bottom, left, right = crop
    return (
        [f"crop=w=iw-{left + right}:h=ih-{top + bottom}:x={left}:y={top}:exact=1"]
        if any(crop)
        else []
    )
