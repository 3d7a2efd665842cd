"""Running a batch: one video after another with one network; the batch continues if a video fails.

Several runs may share an output folder. A video that another run works on is skipped, and checked
again after all other videos.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from midframe.batch.records import read_record, record_path, write_record
from midframe.batch.videos import BatchVideo
from midframe.errors import BusyError, MidframeError, OptionError, VideoError
from midframe.interpolator import Interpolator
from midframe.media.reading.sources import identity_of
from midframe.options import InterpolationOptions, VideoOptions
from midframe.outputs import check_output_folder, short_name
from midframe.video.lock import FolderLock
from midframe.video.pipeline import VideoProgress, convert_video
from midframe.video.render_job import NetworkProperties, result_settings
from midframe.video.report import VideoReport

log = logging.getLogger(__name__)

Status = Literal["done", "already done", "damaged", "failed", "busy"]
"""Status of a video. "damaged": its result is complete, but the source is damaged or the
verification failed. "busy": another run works on it."""
FAILURES: tuple[Status, ...] = ("damaged", "failed")
"""Statuses that make a batch end with an error."""


@dataclass(frozen=True)
class BatchVideoResult:
    """The result of a video in a batch."""

    video: BatchVideo
    status: Status
    message: str = ""
    """Why it is damaged or failed."""
    report: VideoReport | None = None
    """Set if the video was converted in this run."""


BatchProgress = Callable[[BatchVideo, float, float | None], None]
"""Callback with a video, the number of its finished source frames, and their total if known."""


class Batch:
    """The options and the network of a batch.

    Args:
        out: output folder; it is created.
        interpolation: how frames are interpolated, or an Interpolator.
        options: of all videos.
        overwrite: replace results that were made with other options, if midframe wrote them.

    Raises:
        VideoError: the output folder cannot be written to.
    """

    def __init__(
        self,
        out: Path,
        interpolation: InterpolationOptions | Interpolator,
        options: VideoOptions,
        *,
        overwrite: bool = False,
    ) -> None:
        check_output_folder(out)
        self.out = out
        self._interpolation = interpolation
        self.options = options
        self.overwrite = overwrite

    @property
    def interpolator(self) -> Interpolator:
        """Return the interpolator, which is loaded on first use."""
        if isinstance(self._interpolation, InterpolationOptions):
            self._interpolation = Interpolator.from_options(self._interpolation)
        return self._interpolation

    @property
    def network(self) -> NetworkProperties:
        """Return the network that interpolates."""
        return self.interpolator

    def is_done(self, video: BatchVideo) -> bool:
        """Return whether a video has a finished result with the same options, by its record."""
        path = record_path(self.out, video.name)
        return (
            path.exists()
            and video.target.exists()
            and read_record(path, video.target, self._settings(video)) is not None
        )

    def run(
        self, videos: Sequence[BatchVideo], progress: BatchProgress | None = None
    ) -> Iterator[BatchVideoResult]:
        """Interpolate videos in order; yield the result of each when it is finished.

        Args:
            videos: to interpolate.
            progress: called several times per second.
        """
        busy = []
        for video in videos:
            result = self.run_video(video, progress)
            if result.status == "busy":
                busy.append(video)
            else:
                yield result
        for video in busy:
            yield self.run_video(video, progress)

    def run_video(
        self, video: BatchVideo, progress: BatchProgress | None = None
    ) -> BatchVideoResult:
        """Interpolate one video, or resume it; the message of an error is in the result."""
        try:
            with self._lock(video):
                if self.is_done(video):
                    return BatchVideoResult(video, "already done")
                report = self._convert(video, progress)
        except (BlockingIOError, BusyError):
            return BatchVideoResult(video, "busy", "another run works on it")
        except OSError as error:
            text = f"{error.filename or video.source}: {error.strerror or error}"
            return BatchVideoResult(video, "failed", text)
        except (MidframeError, OptionError) as error:
            return BatchVideoResult(video, "failed", str(error))
        if report.already_complete:
            return BatchVideoResult(video, "already done")
        if report.problems:
            return BatchVideoResult(video, "damaged", "; ".join(report.problems), report)
        if report.damage:
            return BatchVideoResult(video, "damaged", "; ".join(report.damage), report)
        return BatchVideoResult(video, "done", report=report)

    @contextmanager
    def _lock(self, video: BatchVideo) -> Iterator[None]:
        """Hold the lock of a video from before its record is read until the new record is written,
        so that two runs cannot both convert it."""
        record = record_path(self.out, video.name)
        record.parent.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(record.with_name(short_name(record.stem, ".lock")))
        try:
            yield
        finally:
            lock.release()

    def _convert(self, video: BatchVideo, progress: BatchProgress | None) -> VideoReport:
        video.target.parent.mkdir(parents=True, exist_ok=True)
        report = self.render(
            video, lambda done, total: progress(video, done, total) if progress else None
        )
        if not report.problems and not report.already_complete:
            path = record_path(self.out, video.name)
            write_record(path, video.target, self._settings(video), report)
        return report

    def render(self, video: BatchVideo, progress: VideoProgress) -> VideoReport:
        """Interpolate one video; the folder of its result exists."""
        return convert_video(
            video.source,
            video.target,
            self.interpolator,
            self.options,
            overwrite=self.overwrite,
            resume=not self.overwrite,
            progress=progress,
        )

    def _settings(self, video: BatchVideo) -> dict[str, Any]:
        """Return the settings that identify a result: those of its frames, and whether it has
        sound."""
        settings = result_settings(self._identity(video), self.network, self.options)
        return {**settings, "mute": self.options.encoding.mute}

    def _identity(self, video: BatchVideo) -> dict[str, Any]:
        """Return the identity of a source."""
        return identity_of(video.source)


def watch(
    find: Callable[[], Sequence[BatchVideo]], *, settle: float = 5.0, poll: float = 1.0
) -> Iterator[BatchVideo]:
    """Yield new videos of a folder, endlessly, each when its file is no longer being written.

    A video that is replaced is yielded again. If the folder is missing, as while its disk is not
    connected, that is reported, and waited for.

    Args:
        find: lists the videos in the folder.
        settle: seconds for which size and modification time of a file must not change.
        poll: seconds between two calls of `find`.
    """
    yielded: dict[Path, tuple[int, int]] = {}
    seen: dict[Path, tuple[tuple[int, int], float]] = {}
    problem = ""
    while True:
        try:
            videos, text = find(), ""
        except (VideoError, OSError) as error:
            videos, text = [], str(error)
        if text and text != problem:
            log.warning("%s; still waiting", text)
        problem = text
        for video in videos:
            state = _state(video.source)
            if state is None or yielded.get(video.source) == state:
                continue
            before, since = seen.get(video.source, (None, 0.0))
            if before != state:
                seen[video.source] = (state, time.monotonic())
            elif time.monotonic() - since >= settle:
                yielded[video.source] = state
                yield video
        time.sleep(poll)


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
