"""The protocol of sources: videos, image sequences, multi-page image files and pipes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self

import av

from midframe.media.colour.conversion import Colour
from midframe.media.colour.geometry import OutputGeometry
from midframe.media.reading.damage import Damage
from midframe.media.reading.frame_rate import SourceRate
from midframe.media.reading.survey import Span
from midframe.media.reading.thumbnails import ThumbnailList
from midframe.options import check_time_range

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimeRange:
    """A time range of a video, in seconds from its first frame."""

    start: float = 0.0
    end: float | None = None
    """None for the end of the video."""

    def __post_init__(self) -> None:
        check_time_range(self.start, self.end)


WHOLE_SOURCE = TimeRange()
"""A video from its first frame to its last."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    picture: av.VideoFrame
    pts: int | Fraction
    """In the time base of its stream."""
    begins_scene: bool
    duration: int | Fraction = 0
    """In the same time base; 0 if the file does not state it."""


@dataclass(frozen=True)
class Contents:
    """Metadata and streams of a source besides its frames; images have hardly any."""

    format: str = ""
    """FFmpeg's name of the container; of a file of several images, its suffix."""
    description: str = ""
    """Of the video stream, as FFmpeg prints it."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Of the file."""
    stream_metadata: Mapping[str, str] = field(default_factory=dict)
    """Of the video stream."""
    disposition: Any = 0
    """Of the video stream."""
    chapters: Sequence[Any] = ()
    """As PyAV returns them."""
    spans: Mapping[int, Span] = field(default_factory=dict)
    """Start and end of each stream, by its index."""
    shift: Fraction = Fraction(0)
    """Seconds that are added to all times of the file so that the source begins at 0."""
    changed_sounds: frozenset[int] = frozenset()
    """Indices of the sound streams whose codec parameters change."""
    icc_profile: bytes | None = None
    """Of the first image."""


class FrameSource(Protocol):
    """Frames with exact times, in presentation order.

    All properties are available after construction. Close a source, or use it in a `with` block.
    `read` is called once; `damage`, `warnings`, `thumbnails` and `frames_read` grow while it
    yields.
    """

    @property
    def path(self) -> Path:
        """The file, folder or pattern; "-" for standard input."""

    @property
    def time_range(self) -> TimeRange:
        """The time range that `read` yields."""

    @property
    def time_base(self) -> Fraction:
        """Of the frames' pts."""

    @property
    def start(self) -> Fraction:
        """Time of the first frame of the whole source, in seconds."""

    @property
    def end(self) -> Fraction | None:
        """End of the last frame of the whole source, in seconds; None if it is unknown, or if the
        time range ends earlier."""

    @property
    def source_rate(self) -> SourceRate:
        """The frame rate, and whether the frames follow it."""

    @property
    def rate(self) -> Fraction:
        """Frames per second."""

    @property
    def frame_duration(self) -> int:
        """Duration of frames without one, in the time base."""

    @property
    def expected_frames(self) -> float | None:
        """Number of frames in the time range; None if it is unknown before they are read."""

    @property
    def geometry(self) -> OutputGeometry:
        """How the frames are cropped, rotated and scaled, and the tags to store in the result."""

    @property
    def contents(self) -> Contents:
        """Metadata and streams besides the frames."""

    @property
    def other_streams(self) -> Sequence[Any]:
        """The streams other than the video stream, as PyAV objects."""

    @property
    def damage(self) -> Damage:
        """Damaged places so far."""

    @property
    def warnings(self) -> list[str]:
        """Warnings so far, other than damage."""

    @property
    def thumbnails(self) -> ThumbnailList:
        """Thumbnails of the frames so far, for the verification of a result."""

    @property
    def frames_read(self) -> int:
        """How many frames `read` has yielded."""

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """Return the first frame of the whole source, in the common size and pixel format, and how
        its samples represent colours; `read` yields it again."""

    def read(self) -> Iterator[Frame]:
        """Yield every frame of the time range, in presentation order.

        Raises:
            VideoError: the source cannot be read, has no frame in the time range, or is damaged and
                `strict` is set.
        """

    def decode_again(self) -> Iterator[av.VideoFrame] | None:
        """Decode all frames of the whole source again, without cropping, rotation and scaling; None
        if it can be read only once."""

    def reopen(self) -> AbstractContextManager["FrameSource"]:
        """Return the source, opened again if it has other streams, to read their packets."""

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """Yield the packets of some of `other_streams`, unchanged except for corrected times."""

    def interrupt(self) -> None:
        """End `read` in another thread soon, where it may wait for data without end."""

    def __enter__(self) -> Self:
        """Return the source."""

    def __exit__(self, *_: object) -> None:
        """Close the source."""


def log_damage(source: FrameSource) -> None:
    """Log the warnings and the damage of a source, for callers that write no report."""
    for text in (*source.warnings, *(f"damaged: {place}" for place in source.damage.places)):
        log.warning("%s: %s", source.path, text)
