"""A result in standard output, as y4m."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from midframe.errors import VideoError
from midframe.media.writing.pipes import PipeWriter, pipe_encoding
from midframe.video.target import Job, Target, form_of
from midframe.video.timeline import TrueTimes

if TYPE_CHECKING:
    from midframe.video.retimer import Output, Retimer


class PipeTarget(Target):
    """Standard output: frames are written as they come."""

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """Every source can be written to standard output."""

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        return False

    def check_progress(self) -> None:
        """The next program of the pipe can take any time."""

    def begin(self, job: Job, *, resume: bool, overwrite: bool) -> int:
        self.job, self.encoding = job, pipe_encoding(job.picture, job.colour, **form_of(job))
        if isinstance(job.timeline, TrueTimes):
            raise VideoError("y4m needs a constant frame rate: drop --vfr")
        if resume:
            raise VideoError("output to a pipe cannot be resumed: drop --resume")
        job.report.dropped = tuple(
            f"{each.type} stream {each.index} (y4m)" for each in job.reader.others
        )
        return 0

    def write(self, outputs: Iterable[Output]) -> None:
        try:
            with PipeWriter(self.encoding, self.job.colour) as writer:
                for output in outputs:
                    writer.write(output.picture)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"standard output cannot be written ({error}): check the next program of the pipe"
            ) from error

    def finish(self, retimer: Retimer) -> None:
        """Everything is written already."""

    def give_up(self) -> Path | None:
        return None
