"""The job of a result, and the interface of what takes its frames."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.media.colour.conversion import Colour
from midframe.media.colour.side_data import CAPTION_ENCODERS, lost_metadata
from midframe.media.colour.spherical import immersion_of
from midframe.media.reading.reader import VideoReader
from midframe.media.writing.encoders import Encoding
from midframe.options import EncodingOptions
from midframe.video.report import VideoReport
from midframe.video.retimer import Output, Retimer
from midframe.video.timeline import Timeline


@dataclass
class Job:
    """A source and the plan for its result."""

    reader: VideoReader
    picture: av.VideoFrame
    """A frame of the source."""
    colour: Colour
    """How its samples represent colours."""
    timeline: Timeline
    settings: Mapping[str, Any]
    """The fingerprint of everything that decides the frames."""
    report: VideoReport = field(default_factory=VideoReport)


class Target(ABC):
    """Where a result goes.

    Args:
        path: the name of the result.
        options: how it is encoded, and whether it has sound.
    """

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        self.path = path
        self.options = options
        self.job: Job
        self.encoding: Encoding

    holds_matrix = False
    """The result carries a display matrix, so pictures need not be rotated."""
    holds_aspect = True
    """The result carries a sample aspect ratio, so pictures need not be scaled."""
    constant = True
    """The result can only have frames at equal steps."""
    min_step = Fraction(0)
    """Seconds between two frames that players of the result need at least."""

    @abstractmethod
    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """Check that a result may be written; raises a VideoError with the reason if not."""

    @abstractmethod
    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """Whether the result exists, made with the same options, so that there is nothing to
        resume.

        Raises:
            VideoError: there is something else in its place, which may not be replaced.
        """

    @abstractmethod
    def check_progress(self) -> None:
        """Raise a VideoError if the thread that writes makes no progress; called while others wait
        for it."""

    @abstractmethod
    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        """Prepare to write; returns how many segments are finished already."""

    @abstractmethod
    def write(self, outputs: Iterable[Output]) -> None:
        """Take the frames to show, in order."""

    @abstractmethod
    def finish(self, retimer: Retimer) -> None:
        """Complete the result once all frames are written, give it its name and verify it."""

    @abstractmethod
    def give_up(self) -> Path | None:
        """Clean up after a failure; returns where finished segments are, if there are any."""

    carries_immersion = False
    """The result states how a spherical or stereoscopic picture is to be shown."""

    def lost_side_data(self, retimer: Retimer) -> list[str]:
        """List the metadata of the source's frames that the frames of the result do not have."""
        job, encoder = self.job, self.encoding.encoder
        lost = lost_metadata(job.picture, job.reader.description)
        immersion = immersion_of(job.picture)
        if immersion and not self.carries_immersion:
            lost += [f"{name} (the result does not store it)" for name in immersion.names]
        if job.report.captions and encoder not in CAPTION_ENCODERS:
            lost.append(f"closed captions ({encoder} cannot write them: h264 and hevc can)")
        elif retimer.captions:
            lost.append(f"{len(retimer.captions)} sets of closed captions, after the last frame")
        return lost


def form_of(job: Job) -> dict[str, Any]:
    """Return the time base, rate and sample aspect ratio of the result, as arguments of
    `choose_encoding`."""
    assert job.reader.layout, "the first picture was read"
    shape = job.reader.layout.sample_aspect_ratio
    return {
        "time_base": job.timeline.time_base,
        "rate": job.timeline.rate,
        "sample_aspect_ratio": shape,
    }
