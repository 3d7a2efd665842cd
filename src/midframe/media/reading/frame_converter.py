"""Conversion of decoded frames to the geometry, size and pixel format in which they are encoded."""

from fractions import Fraction
from typing import Any

import av

from midframe.media.colour.conversion import colour_of, ffmpeg_matrix
from midframe.media.colour.geometry import OutputGeometry, geometry_of
from midframe.media.reading.damage import Damage
from midframe.media.reading.video_file import time_of


class FrameConverter:
    """Crops, rotates and scales the frames of a stream where the result has no tags for that.

    All frames are converted to the size and the pixel format of the first one.

    Args:
        first: the first frame of the stream, as it was decoded.
        description: of the stream, as FFmpeg prints it.
        sample_aspect_ratio: of the stream.
        time_base: of its timestamps.
        damage: to which changes of the frame size are added.
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
        self.first = self.geometry.apply(first)
        """The first frame, converted."""
        self.colour = colour_of(first)
        """How its samples represent colours."""
        self._time_base = time_base
        self._damage = damage
        self._format = _format_of(self.first)
        self._size = _size_of(self._format)
        """Size of the previous frame, so that a change is reported once."""

    def convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame in the size and pixel format of the first one."""
        converted = self.geometry.apply(frame)
        frame_format = _format_of(converted)
        size = _size_of(frame_format)
        first = _size_of(self._format)
        before = self._size
        self._size = size
        if frame_format == self._format:
            return converted
        if size not in (first, before):
            self._damage.add(
                time_of(frame, self._time_base),
                f"the frame size changes to {size}, scaled to {first}",
            )
        matrix = ffmpeg_matrix(int(converted.colorspace))
        scaled = converted.reformat(**self._format, src_colorspace=matrix, dst_colorspace=matrix)
        scaled.pts = converted.pts
        scaled.time_base = converted.time_base
        scaled.duration = converted.duration
        return scaled


def _format_of(frame: av.VideoFrame) -> dict[str, Any]:
    """Return the size and the pixel format of a frame, as arguments of `VideoFrame.reformat`."""
    return {"width": frame.width, "height": frame.height, "format": frame.format.name}


def _size_of(frame_format: dict[str, Any]) -> str:
    return f"{frame_format['width']}x{frame_format['height']}"
