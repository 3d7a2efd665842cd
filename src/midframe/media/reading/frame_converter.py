"""Conversion of decoded frames to the geometry, size and pixel format in which they are encoded."""

from fractions import Fraction
from typing import Any

import av

from midframe.media.colour.conversion import UNSPECIFIED, Colour, colour_of, ffmpeg_matrix
from midframe.media.colour.geometry import OutputGeometry, geometry_of
from midframe.media.reading.damage import Damage
from midframe.media.reading.video_file import time_of


class FrameConverter:
    """Crops, rotates and scales the frames of a stream where the result has no tags for that.

    All frames are converted to the size, the pixel format, the colour matrix and the range of the
    first one.

    Args:
        first: the first frame of the stream, as it was decoded.
        description: of the stream, as FFmpeg prints it.
        sample_aspect_ratio: of the stream.
        time_base: of its timestamps.
        damage: to which changes of the frame size and the colours are added.
        stores_display_matrix, stores_aspect_ratio: as in `OutputGeometry`.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        description: str,
        sample_aspect_ratio: Fraction | None,
        time_base: Fraction,
        damage: Damage,
        *,
        stores_display_matrix: bool,
        stores_aspect_ratio: bool,
    ) -> None:
        geometry = geometry_of(first, description, sample_aspect_ratio)
        self.geometry = OutputGeometry(
            geometry,
            stores_display_matrix=stores_display_matrix,
            stores_aspect_ratio=stores_aspect_ratio,
        )
        self.source = first
        """The first frame, as it was decoded."""
        self.first = self.geometry.apply(first)
        """The first frame, converted."""
        self.colour = colour_of(first)
        """How its samples represent colours."""
        self._time_base = time_base
        self._damage = damage
        self._format = _format_of(self.first)
        self._previous_size = _size_of(self._format)
        """Size of the previous frame, so that a change is reported once; likewise below."""
        self._previous_colour = self.colour
        self._previous_primaries = _primaries_and_transfer(first)
        """Primaries and transfer of the previous frame that stated them."""

    def convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame in the size, the pixel format and the colour of the first one."""
        converted = self.geometry.apply(frame)
        colour = colour_of(frame)
        self._report_size(_size_of(_format_of(converted)), frame)
        self._report_colour(colour, frame)
        same_codes = colour.has_codes_of(self.colour)
        if _format_of(converted) == self._format and same_codes:
            return converted
        scaled = converted.reformat(
            **self._format,
            src_colorspace=ffmpeg_matrix(colour.matrix),
            dst_colorspace=ffmpeg_matrix(self.colour.matrix),
            src_color_range=colour.range,
            dst_color_range=self.colour.range,
        )
        scaled.pts = converted.pts
        scaled.time_base = converted.time_base
        scaled.duration = converted.duration
        return scaled

    def _report_size(self, size: str, frame: av.VideoFrame) -> None:
        first = _size_of(self._format)
        before = self._previous_size
        self._previous_size = size
        if size not in (first, before):
            self._report(frame, f"the frame size changes to {size}, scaled to {first}")

    def _report_colour(self, colour: Colour, frame: av.VideoFrame) -> None:
        changed = not colour.has_codes_of(self._previous_colour)
        self._previous_colour = colour
        if changed and not colour.has_codes_of(self.colour):
            self._report(
                frame, "the colour matrix or range changes, converted to that of the first frame"
            )
        primaries = _primaries_and_transfer(frame) or self._previous_primaries
        if self._previous_primaries and primaries != self._previous_primaries:
            self._report(frame, "the colour primaries or transfer change, which is not converted")
        self._previous_primaries = primaries

    def _report(self, frame: av.VideoFrame, text: str) -> None:
        self._damage.add(time_of(frame, self._time_base), text)


def _format_of(frame: av.VideoFrame) -> dict[str, Any]:
    """Return the size and the pixel format of a frame, as arguments of `VideoFrame.reformat`."""
    return {"width": frame.width, "height": frame.height, "format": frame.format.name}


def _primaries_and_transfer(frame: av.VideoFrame) -> tuple[int, int] | None:
    """Return colour primaries and transfer; None if the frame does not state both."""
    codes = (int(frame.color_primaries), int(frame.color_trc))
    return None if UNSPECIFIED in codes or 0 in codes else codes


def _size_of(frame_format: dict[str, Any]) -> str:
    return f"{frame_format['width']}x{frame_format['height']}"
