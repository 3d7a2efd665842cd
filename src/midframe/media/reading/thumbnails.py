"""Thumbnails of frames with their times, with which a result is compared with its source."""

import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import overload

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from midframe.media.colour.conversion import BT470BG, reformat
from midframe.media.pictures.images import Array
from midframe.media.pixel_formats import has_alpha, is_rgb

THUMBNAIL = (32, 18)
"""Width and height of a thumbnail."""
CHUNK = 1024
"""Number of thumbnails that are compressed together."""


@dataclass(frozen=True)
class TimedThumbnail:
    """The thumbnail of a frame, and the time at which the frame is shown."""

    time: Fraction
    """In seconds."""
    thumbnail: Array
    """(18, 32) luma, uint8."""


class ThumbnailList(Sequence[TimedThumbnail]):
    """Thumbnails in the order of their frames, compressed: a film has hundreds of thousands.

    Successive thumbnails are similar, so their differences are compressed, in chunks.
    """

    def __init__(self) -> None:
        self._numerators = array("q")
        self._denominators = array("q")
        """The times, in seconds."""
        self._shift = Fraction(0)
        """Seconds that are added to the times."""
        self._chunks: list[bytes] = []
        self._last: list[Array] = []
        """Thumbnails after those in chunks."""
        self._decompress = lru_cache(maxsize=2)(self._decompress_chunk)

    def append(self, time: Fraction, thumbnail: Array) -> None:
        """Append the thumbnail of the next frame."""
        self._numerators.append(time.numerator)
        self._denominators.append(time.denominator)
        self._last.append(thumbnail)
        if len(self._last) == CHUNK:
            differences = np.diff(self._last, axis=0, prepend=np.zeros_like(self._last[:1]))
            self._chunks.append(zlib.compress(differences.tobytes(), level=1))
            self._last = []

    def move(self, seconds: Fraction) -> None:
        """Add seconds to all times."""
        self._shift += seconds

    def times(self) -> Iterator[Fraction]:
        """Return the time of each thumbnail."""
        return map(self._time, range(len(self)))

    def __len__(self) -> int:
        return len(self._numerators)

    @overload
    def __getitem__(self, index: int) -> TimedThumbnail: ...

    @overload
    def __getitem__(self, index: slice) -> list[TimedThumbnail]: ...

    def __getitem__(self, index: int | slice) -> TimedThumbnail | list[TimedThumbnail]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        chunk, place = divmod(number, CHUNK)
        stored = self._last if chunk == len(self._chunks) else self._decompress(chunk)
        return TimedThumbnail(self._time(number), stored[place])

    def _time(self, number: int) -> Fraction:
        return Fraction(self._numerators[number], self._denominators[number]) + self._shift

    def _decompress_chunk(self, number: int) -> Array:
        """Return the thumbnails of a chunk, (CHUNK, 18, 32)."""
        width, height = THUMBNAIL
        differences = np.frombuffer(zlib.decompress(self._chunks[number]), np.uint8)
        return differences.reshape(CHUNK, height, width).cumsum(axis=0, dtype=np.uint8)


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
