"""The protocol of sources: videos, image sequences, stacks of images and pipes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self

import av

from midframe.media.colour.conversion import Colour
from midframe.media.colour.geometry import Layout
from midframe.media.reading.damage import Damage
from midframe.media.reading.frame_rate import SourceRate
from midframe.media.reading.sights import TimedThumbnail
from midframe.media.reading.survey import Span
from midframe.options import check_time_range

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The part of a video to show, in seconds from its first frame."""

    start: float = 0.0
    end: float | None = None
    """None for the end of the video."""

    def __post_init__(self) -> None:
        check_time_range(self.start, self.end)


WHOLE = Part()
"""A video from its first frame to its last."""


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    picture: av.VideoFrame
    pts: int | Fraction
    """When it is shown, in the time base of its stream."""
    begins_scene: bool
    duration: int | Fraction = 0
    """For how long, in the same time base; 0 if the file does not state it."""


@dataclass(frozen=True)
class Contents:
    """What a source holds beside its frames; images hold the defaults."""

    format: str = ""
    """FFmpeg's name of the container."""
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
    """When each stream begins and ends, by its index."""
    shift: Fraction = Fraction(0)
    """Seconds that are added to all times of the file so that the source begins at 0."""
    changed_sounds: frozenset[int] = frozenset()
    """Indices of the sound streams whose codec parameters change."""
    icc_profile: bytes | None = None
    """Of the first image."""


class FrameSource(Protocol):
    """Frames with exact times, in the order of showing.

    A source is complete when it is built. Close it, or use it in a `with` block. `read` is called
    once; `damage`, `warnings`, `thumbnails` and `frames_read` grow while it yields.
    """

    @property
    def path(self) -> Path:
        """The file, folder or pattern; "-" for standard input."""

    @property
    def part(self) -> Part:
        """What is read of it."""

    @property
    def time_base(self) -> Fraction:
        """Seconds of a tick of the frames' pts."""

    @property
    def start(self) -> Fraction:
        """When the first frame of the whole source is shown, in seconds."""

    @property
    def end(self) -> Fraction | None:
        """When the last frame of the whole source is no longer shown, in seconds; None if that is
        not known, or if the part ends earlier."""

    @property
    def source_rate(self) -> SourceRate:
        """The frame rate, and whether the frames keep to it."""

    @property
    def rate(self) -> Fraction:
        """Frames a second."""

    @property
    def frame_duration(self) -> int:
        """Duration of a frame that states none, in the time base."""

    @property
    def expected_frames(self) -> float | None:
        """How many frames the part has; None if that is not known before they are read."""

    @property
    def layout(self) -> Layout:
        """How the frames are cropped, rotated and scaled, and the tags that are left for the
        result."""

    @property
    def contents(self) -> Contents:
        """What the source holds beside its frames."""

    @property
    def others(self) -> Sequence[Any]:
        """The streams beside the video stream, as PyAV has them."""

    @property
    def damage(self) -> Damage:
        """Damaged places found so far."""

    @property
    def warnings(self) -> list[str]:
        """Unusual facts that are no damage, found so far."""

    @property
    def thumbnails(self) -> Sequence[TimedThumbnail]:
        """Thumbnails of the frames read so far, for the proof of a result."""

    @property
    def frames_read(self) -> int:
        """How many frames `read` has yielded."""

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """Return the first frame of the whole source, arranged as all are, and how its samples
        represent colours; `read` yields it nevertheless."""

    def read(self) -> Iterator[Frame]:
        """Yield every frame of the part, in the order of showing.

        Raises:
            VideoError: the source cannot be read, has no frame in the part, or is damaged and
                `strict` is set.
        """

    def decode_again(self) -> Iterator[av.VideoFrame] | None:
        """Decode all frames of the whole source anew, as they are stored; None if it can be read
        only once."""

    def reopen(self) -> AbstractContextManager["FrameSource"]:
        """The source opened anew if it has other streams, to read their packets; else itself."""

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """Yield the packets of some of `others`, with corrected times, otherwise as they are in the
        file."""

    def __enter__(self) -> Self:
        """Return the source."""

    def __exit__(self, *_: object) -> None:
        """Close the source."""


def log_damage(source: FrameSource) -> None:
    """Log what is damaged or unusual in what was read, for callers that write no report."""
    for text in (*source.warnings, *(f"damaged: {place}" for place in source.damage.places)):
        log.warning("%s: %s", source.path, text)
