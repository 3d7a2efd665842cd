"""Running a batch: one film after another with one network; the batch continues if a film fails.

Several runs may share an output folder. A film that another run works on is skipped, and checked
again after all other films.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from midframe.batch.films import Film
from midframe.batch.records import read_record, record_path, write_record
from midframe.errors import BusyError, MidframeError, OptionError
from midframe.interpolator import Interpolator
from midframe.media.reading.sources import identity_of
from midframe.options import InterpolationOptions, VideoOptions
from midframe.outputs import check_output_folder, short_name
from midframe.video.lock import FolderLock
from midframe.video.pipeline import Progress, convert_video
from midframe.video.render_job import NetworkProperties, result_settings
from midframe.video.report import VideoReport

Status = Literal["done", "already done", "damaged", "failed", "busy"]
"""Status of a film. "damaged": its result is complete, but the source is damaged or the
verification failed. "busy": another run works on it."""
FAILURES: tuple[Status, ...] = ("damaged", "failed")
"""Statuses that make a batch end with an error."""


@dataclass(frozen=True)
class FilmResult:
    """The result of a film in a batch."""

    film: Film
    status: Status
    message: str = ""
    """Why it is damaged or failed."""
    report: VideoReport | None = None
    """Set if the film was converted in this run."""


FilmProgress = Callable[[Film, float, float | None], None]
"""Callback with a film, the number of its finished source frames, and their total if known."""


class Batch:
    """The options and the network of a batch.

    Args:
        out: output folder; it is created.
        interpolation: how frames are interpolated, or an Interpolator.
        options: of all films.
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

    def is_done(self, film: Film) -> bool:
        """Return whether a film has a finished result with the same options, by its record."""
        path = record_path(self.out, film.name)
        return (
            path.exists()
            and film.target.exists()
            and read_record(path, film.target, self._settings(film)) is not None
        )

    def run(
        self, films: Sequence[Film], progress: FilmProgress | None = None
    ) -> Iterator[FilmResult]:
        """Interpolate films in order; yield the result of each when it is finished.

        Args:
            films: to interpolate.
            progress: called several times per second.
        """
        busy = []
        for film in films:
            result = self.run_film(film, progress)
            if result.status == "busy":
                busy.append(film)
            else:
                yield result
        for film in busy:
            yield self.run_film(film, progress)

    def run_film(self, film: Film, progress: FilmProgress | None = None) -> FilmResult:
        """Interpolate one film, or resume it; the message of an error is in the result."""
        try:
            with self._lock(film):
                if self.is_done(film):
                    return FilmResult(film, "already done")
                report = self._convert(film, progress)
        except (BlockingIOError, BusyError):
            return FilmResult(film, "busy", "another run works on it")
        except (MidframeError, OptionError, OSError) as error:
            return FilmResult(film, "failed", str(error))
        if report.already_complete:
            return FilmResult(film, "already done")
        if report.problems:
            return FilmResult(film, "damaged", "; ".join(report.problems), report)
        if report.damage:
            return FilmResult(film, "damaged", "; ".join(report.damage), report)
        return FilmResult(film, "done", report=report)

    @contextmanager
    def _lock(self, film: Film) -> Iterator[None]:
        """Lock a film from reading its record until the next record is written, so that two runs do
        not both convert it."""
        record = record_path(self.out, film.name)
        record.parent.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(record.with_name(short_name(record.stem, ".lock")))
        try:
            yield
        finally:
            lock.release()

    def _convert(self, film: Film, progress: FilmProgress | None) -> VideoReport:
        film.target.parent.mkdir(parents=True, exist_ok=True)
        report = self.render(
            film, lambda done, total: progress(film, done, total) if progress else None
        )
        if not report.problems and not report.already_complete:
            path = record_path(self.out, film.name)
            write_record(path, film.target, self._settings(film), report)
        return report

    def render(self, film: Film, progress: Progress) -> VideoReport:
        """Interpolate one film, whose folder exists."""
        return convert_video(
            film.source,
            film.target,
            self.interpolator,
            self.options,
            overwrite=self.overwrite,
            resume=not self.overwrite,
            progress=progress,
        )

    def _settings(self, film: Film) -> dict[str, Any]:
        """Return the settings of a result; with another choice of sound it is another result."""
        settings = result_settings(self._identity(film), self.network, self.options)
        return {**settings, "mute": self.options.encoding.mute}

    def _identity(self, film: Film) -> dict[str, Any]:
        """Return the identity of a source."""
        return identity_of(film.source)


def watch(
    find: Callable[[], Sequence[Film]], *, settle: float = 5.0, poll: float = 1.0
) -> Iterator[Film]:
    """Yield new films of a folder, endlessly, each when its file is no longer being written.

    A film that is replaced is yielded again.

    Args:
        find: lists the films in the folder.
        settle: seconds for which size and modification time of a file must not change.
        poll: seconds between two calls of `find`.
    """
    yielded: dict[Path, tuple[int, int]] = {}
    seen: dict[Path, tuple[tuple[int, int], float]] = {}
    while True:
        for film in find():
            state = _state(film.source)
            if state is None or yielded.get(film.source) == state:
                continue
            before, since = seen.get(film.source, (None, 0.0))
            if before != state:
                seen[film.source] = (state, time.monotonic())
            elif time.monotonic() - since >= settle:
                yielded[film.source] = state
                yield film
        time.sleep(poll)


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
