"""Jobs: one at a time, first in, first out, with progress and cancellation."""

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from midframe.errors import MidframeError, OptionError, lacks_memory
from midframe.pace import Pace
from midframe.web.texts import for_visitors

MAX_WAITING = 4
"""Maximum number of waiting jobs; others are refused."""
MAX_PER_OWNER = 2
"""Maximum number of waiting and running jobs of one owner."""
CLOSE_SECONDS = 30.0
"""Seconds that a closed queue waits for the running job to stop."""
INTERNAL_ERROR = "internal error, see the server's log"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
Status = Literal["waiting", "running", "done", "failed", "cancelled"]

log = logging.getLogger(__name__)


class CancelledError(Exception):
    """The job was cancelled; raised when it reports progress."""


class QueueFullError(MidframeError):
    """Too many jobs are waiting."""


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job."""

    done: float = 0.0
    """Finished source frames, or other steps."""
    total: float | None = None
    """None if it is unknown."""
    rate: float | None = None
    """Steps per second; None before it is measured."""
    picture: bytes = b""
    """The newest frame as a small JPEG; empty if there is none."""

    @property
    def seconds_left(self) -> float | None:
        """None if it is unknown."""
        if self.total is None or not self.rate:
            return None
        return max(0.0, self.total - self.done) / self.rate


Work = Callable[["Job"], Any]
"""Performs a job, calling its `report` several times per second; returns the result."""


@dataclass(eq=False)
class Job:
    """Work that was submitted; its attributes change while it waits and runs."""

    work: Work
    owner: str
    status: Status = "waiting"
    message: str = ""
    """Reason of the failure."""
    result: Any = None
    """Return value of the work."""
    _picture: bytes = b""
    _done: float = 0.0
    _total: float | None = None
    _pace: Pace = field(default_factory=Pace)
    _stop: threading.Event = field(default_factory=threading.Event)
    _finished: threading.Event = field(default_factory=threading.Event)

    @property
    def finished(self) -> bool:
        """Return whether it is done, failed or cancelled."""
        return self._finished.is_set()

    @property
    def progress(self) -> JobProgress:
        """Return the progress."""
        rate = self._pace.rate(time.monotonic())
        return JobProgress(self._done, self._total, rate, self._picture)

    def report(self, done: float, total: float | None) -> None:
        """Report progress.

        Raises:
            CancelledError: the job was cancelled.
        """
        self.check()
        self._done = done
        self._total = total
        self._pace.update(done, time.monotonic())

    def show(self, picture: bytes) -> None:
        """Report the newest frame, a small JPEG; raises as `report`."""
        self.check()
        self._picture = picture

    def check(self) -> None:
        """Raise `CancelledError` if the job was cancelled."""
        if self._stop.is_set():
            raise CancelledError

    def cancel(self) -> None:
        """Ask the job to stop; it stops when it next reports progress."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the job has finished; return whether it has."""
        return self._finished.wait(seconds)

    def run(self) -> None:
        """Do the work in this thread; errors are stored in `message`."""
        self.status = "running"
        status: Status = "failed"
        try:
            self.check()
            self.result = self.work(self)
            status = "done"
        except CancelledError:
            status = "cancelled"
        except Exception as error:
            self.message = public_text(error)
        self.finish(status)

    def finish(self, status: Status) -> None:
        """Set the final status."""
        self.status = status
        self._finished.set()


def public_text(error: Exception) -> str:
    """Return the public text of an error; errors that do not concern files or options are
    logged."""
    if isinstance(error, OptionError):
        return for_visitors(error.command_line_text)
    if isinstance(error, MidframeError):
        return for_visitors(str(error))
    if lacks_memory(error):
        log.error("out of memory", exc_info=error)
        return "out of memory: choose a smaller file, or close other programs"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        log.error("the disk is full", exc_info=error)
        return "the server's disk is full: try again later"
    log.error("a job failed: %s: %s", type(error).__name__, error, exc_info=error)
    return INTERNAL_ERROR


class JobQueue:
    """Runs jobs in one thread.

    Args:
        max_waiting: jobs that wait at most.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self.max_waiting = max_waiting
        self._waiting = deque[Job]()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def submit(self, work: Work, owner: str) -> Job:
        """Add a job.

        Args:
            work: performs the job.
            owner: token of the session that the job belongs to.

        Raises:
            QueueFullError: too many jobs are waiting, of all owners or of this one.
        """
        with self._changed:
            if self._closed:
                raise QueueFullError("the server is stopping: try again later")
            if len(self._of(owner)) >= MAX_PER_OWNER:
                raise QueueFullError("your last job is not finished: cancel it, or wait for it")
            if len(self._waiting) >= self.max_waiting:
                raise QueueFullError(
                    f"the queue is full: {len(self._waiting)} jobs are waiting, try again later"
                )
            job = Job(work, owner)
            self._waiting.append(job)
            self._changed.notify_all()
            return job

    def jobs_before(self, job: Job) -> int:
        """Return how many jobs must finish before this one begins."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def cancel(self, job: Job) -> None:
        """Cancel a job: at once if it waits, otherwise when it next reports progress."""
        with self._changed:
            job.cancel()
            if job in self._waiting:
                self._waiting.remove(job)
                job.finish("cancelled")

    def cancel_all(self, owner: str) -> list[Job]:
        """Cancel all jobs of an owner; return them."""
        with self._changed:
            jobs = self._of(owner)
        for job in jobs:
            self.cancel(job)
        return jobs

    def close(self) -> None:
        """Cancel all jobs, and wait for the running one to stop; only once."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job)
        self._thread.join(CLOSE_SECONDS)

    def _of(self, owner: str) -> list[Job]:
        jobs = [*self._waiting, *([self._running] if self._running else [])]
        return [job for job in jobs if job.owner == owner]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                self._running = self._waiting.popleft()
            self._running.run()
            with self._changed:
                self._running = None
