"""A result in standard output, as y4m."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.reading.pipes import PipeWriter, pipe_encoding
from midframe.video.retimer import Output, Retimer
from midframe.video.target import Job, Target, form_of
from midframe.video.timeline import TrueTimes


class PipeTarget(Target):
    """Writes frames to standard output."""

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """Every source can be written to standard output."""

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        return False

    def check_progress(self) -> None:
        """Do nothing: the next program of the pipe may take any time."""

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
        """Do nothing: all frames are written."""

    def give_up(self) -> Path | None:
        return None
