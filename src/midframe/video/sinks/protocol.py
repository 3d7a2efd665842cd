"""The protocols of results: a target, chosen by its name, and the sink that it opens."""

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
from midframe.media.colour.side_data import CAPTION_ENCODERS, lost_metadata
from midframe.media.colour.spherical import immersion_of
from midframe.media.reading.source import FrameSource
from midframe.media.writing.encoders import Encoding
from midframe.options import EncodingOptions
from midframe.video.plan import Extent
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.report import VideoReport
from midframe.video.timeline import Timeline

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A source, and what is decided about its result before frames are read."""

    source: FrameSource
    picture: av.VideoFrame
    """The first frame of the source, arranged."""
    colour: Colour
    """How its samples represent colours."""
    timeline: Timeline
    settings: Mapping[str, Any]
    """The fingerprint of everything that decides the frames."""
    report: VideoReport
    """Of the work; sinks add what becomes of streams, and what is wrong with the result."""

    @property
    def encoding_arguments(self) -> dict[str, Any]:
        """The time base, rate and sample aspect ratio of the result, as arguments of
        `choose_encoding`."""
        return {
            "time_base": self.timeline.time_base,
            "rate": self.timeline.rate,
            "sample_aspect_ratio": self.source.layout.sample_aspect_ratio,
        }


class Sink(Protocol):
    """A result that is being written. It is complete when it is built."""

    @property
    def encoding(self) -> Encoding:
        """Of its frames."""

    @property
    def finished(self) -> int:
        """How many segments of the result exist already, by work that was interrupted."""

    @property
    def carries_immersion(self) -> bool:
        """The result states how a spherical or stereoscopic picture is to be shown."""

    def write(self, frames: Iterable[RenderedFrame]) -> None:
        """Take the frames to show, in order; called once, in a thread of its own."""

    def check_progress(self) -> None:
        """Raise a VideoError if `write` makes no progress; called while others wait for it."""

    def finish(self, extent: Extent) -> None:
        """Complete the result once all frames are written, give it its name and verify it."""

    def abort(self) -> Path | None:
        """Clean up after a failure; returns where finished segments are, if there are any."""


class Target(Protocol):
    """A place for a result, by its name: what can be known before the source is opened."""

    @property
    def path(self) -> Path:
        """The name of the result."""

    @property
    def options(self) -> EncodingOptions:
        """How it is encoded, and whether it has sound."""

    @property
    def holds_matrix(self) -> bool:
        """The result carries a display matrix, so pictures need not be rotated."""

    @property
    def holds_aspect(self) -> bool:
        """The result carries a sample aspect ratio, so pictures need not be scaled."""

    @property
    def constant(self) -> bool:
        """The result can only have frames at equal steps."""

    @property
    def min_step(self) -> Fraction:
        """Seconds between two frames that players of the result need at least."""

    @property
    def from_zero(self) -> bool:
        """The times of the result count from its first frame: it has no other streams, with whose
        times its own must agree."""

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """Check that a result may be written; raises a VideoError with the reason if not."""

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """Whether the result exists, made with the same options, so that there is nothing to
        resume.

        Raises:
            VideoError: there is something else in its place, which may not be replaced.
        """

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> Sink:
        """Open the sink of a result.

        Raises:
            VideoError: the result cannot be written; nothing is left behind but finished segments.
        """


@contextmanager
def abort_on_error(abort: Callable[[], Path | None]) -> Iterator[None]:
    """Give up after a failure in the block, and report where finished segments are kept."""
    try:
        yield
    except BaseException as error:
        kept = abort()
        if kept and isinstance(error, MidframeError):
            raise type(error)(
                f"{error}; finished segments are kept in {kept}, --resume continues from there"
            ) from error
        if kept:
            log.warning("finished segments are kept in %s, --resume continues from there", kept)
        raise


def lost_side_data(job: Job, sink: Sink, extent: Extent) -> list[str]:
    """List the metadata of the source's frames that the frames of the result do not have."""
    encoder = sink.encoding.encoder
    lost = lost_metadata(job.picture, job.source.contents.description)
    immersion = immersion_of(job.picture)
    if immersion and not sink.carries_immersion:
        lost += [f"{name} (the result does not store it)" for name in immersion.names]
    if job.report.captions and encoder not in CAPTION_ENCODERS:
        lost.append(f"closed captions ({encoder} cannot write them: h264 and hevc can)")
    elif extent.captions_left:
        lost.append(f"{extent.captions_left} sets of closed captions, after the last frame")
    return lost
