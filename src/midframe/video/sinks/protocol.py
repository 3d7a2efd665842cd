"""The protocols of results: a target, chosen by the path of the result, and the sink that it
opens."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av

from midframe.errors import MidframeError
from midframe.media.colour.conversion import Colour
from midframe.media.colour.hdr import hdr_metadata_of, lost_hdr_metadata
from midframe.media.colour.side_data import CAPTION_ENCODERS, lost_metadata
from midframe.media.colour.spherical import spherical_metadata_of
from midframe.media.reading.source import FrameSource
from midframe.media.writing.encoders import Encoding
from midframe.options import EncodingOptions
from midframe.video.plan import Extent
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.report import VideoReport
from midframe.video.segments import UnusableWorkError
from midframe.video.timeline import Timeline

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """A source, and the decisions about its result before frames are read."""

    source: FrameSource
    picture: av.VideoFrame
    """The first frame of the source, cropped, rotated and scaled."""
    colour: Colour
    """How its samples represent colours."""
    timeline: Timeline
    settings: Mapping[str, Any]
    """The fingerprint of all options that affect the frames."""
    report: VideoReport
    """Report of the work, to which sinks add streams and faults of the result."""
    mute: bool
    """Sound is not wanted."""

    @property
    def encoding_arguments(self) -> dict[str, Any]:
        """Return time base, rate and sample aspect ratio of the result, as arguments of
        `choose_encoding`."""
        return {
            "time_base": self.timeline.time_base,
            "rate": self.timeline.rate,
            "sample_aspect_ratio": self.source.geometry.sample_aspect_ratio,
        }

    def dropped_streams(self, reason: str) -> tuple[str, ...]:
        """List the other streams and the chapters of the source for a result that holds none of
        them; sound that is not wanted is not dropped.

        Args:
            reason: why the result cannot hold them.
        """
        streams = (
            f"{each.type} stream {each.index} ({reason})"
            for each in self.source.other_streams
            if not (self.mute and each.type == "audio")
        )
        chapters = [f"chapters ({reason})"] if self.source.contents.chapters else []
        return (*streams, *chapters)


class Sink(Protocol):
    """A result that is being written. All properties are available after construction."""

    @property
    def encoding(self) -> Encoding:
        """Of its frames."""

    @property
    def finished(self) -> int:
        """Number of segments that exist already, from interrupted work."""

    @property
    def stores_spherical_metadata(self) -> bool:
        """The result stores the metadata of spherical and stereoscopic videos."""

    def write(self, frames: Iterable[RenderedFrame]) -> None:
        """Write the frames, in order; called once, in a separate thread."""

    def check_progress(self) -> None:
        """Raise a VideoError if `write` makes no progress; called while other threads wait for
        it."""

    def finish(self, extent: Extent) -> None:
        """Complete the result after all frames are written, rename it and verify it."""

    def abort(self) -> Path | None:
        """Clean up after a failure; return the folder of finished segments if there are any."""


class Target(Protocol):
    """The properties of a result that follow from its path, before the source is opened."""

    @property
    def path(self) -> Path:
        """Path of the result."""

    @property
    def options(self) -> EncodingOptions:
        """Options of the encoding."""

    @property
    def stores_display_matrix(self) -> bool:
        """The result can store a display matrix, so frames are not rotated."""

    @property
    def stores_aspect_ratio(self) -> bool:
        """The result can store a sample aspect ratio, so frames are not scaled."""

    @property
    def constant_rate_only(self) -> bool:
        """The result supports only a constant frame rate."""

    @property
    def min_step(self) -> Fraction:
        """Minimum seconds between two frames that players support."""

    @property
    def starts_at_zero(self) -> bool:
        """The first frame of the result has pts 0, because it has no other streams to stay in sync
        with."""

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """Check that a result may be written; raise a VideoError with the reason if not."""

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """Return whether the result exists with the same options, so that there is nothing to
        resume.

        Raises:
            VideoError: another file exists under that path and may not be replaced.
        """

    def begin(self, conversion: Conversion, *, resume: bool, overwrite: bool) -> Sink:
        """Open the sink of a result.

        Raises:
            VideoError: the result cannot be written; only finished segments are kept.
        """


@contextmanager
def abort_on_error(abort: Callable[[], Path | None]) -> Iterator[None]:
    """Call `abort` after an error in the block, and add the folder of finished segments to the
    error, unless they cannot be resumed."""
    try:
        yield
    except BaseException as error:
        kept = abort()
        if isinstance(error, UnusableWorkError):
            raise
        if kept and isinstance(error, MidframeError):
            raise type(error)(
                f"{error}; finished segments are kept in {kept}: the same command with --resume "
                "continues from there"
            ) from error
        if kept:
            log.warning(
                "finished segments are kept in %s: the same command with --resume continues from "
                "there",
                kept,
            )
        elif isinstance(error, KeyboardInterrupt):
            log.warning("no segment was finished, so nothing is kept for --resume")
        raise


def lost_side_data(conversion: Conversion, sink: Sink, extent: Extent) -> list[str]:
    """List the side data of the source's frames that the result does not have."""
    encoder = sink.encoding.encoder
    lost = lost_metadata(conversion.picture, conversion.source.contents.description)
    lost += lost_hdr_metadata(encoder, hdr_metadata_of(conversion.picture))
    spherical = spherical_metadata_of(conversion.picture)
    if spherical and not sink.stores_spherical_metadata:
        lost += [f"{name} (the result does not store it)" for name in spherical.names]
    if conversion.report.captions and encoder not in CAPTION_ENCODERS:
        lost.append(f"closed captions ({encoder} cannot write them: h264 and hevc can)")
    elif extent.captions_left:
        lost.append(f"{extent.captions_left} sets of closed captions, after the last frame")
    return lost
