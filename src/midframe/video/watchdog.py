"""A watchdog for calls into libraries that may never return."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

from midframe.errors import VideoError

STALL_SECONDS = 300.0
"""Timeout in seconds for a step of an encoder; the same is added for each megapixel of a frame."""
MAX_STEP = 1.0
"""Maximum number of seconds that are counted between two checks, so that the time in which the
process is suspended is not counted."""

Item = TypeVar("Item")


class Watchdog:
    """Detects that a working thread makes no progress; another thread calls `check`.

    Args:
        seconds: timeout for one step of the working thread.
        failure: text of the error if it takes longer.
    """

    def __init__(self, seconds: float, failure: str) -> None:
        self.seconds = seconds
        self.failure = failure
        self._steps = 0
        self._working = False
        self._counted = 0
        """Number of steps at the last check."""
        self._waited = 0.0
        """Seconds that the present step has taken so far."""
        self._checked = monotonic()
        """Time of the last check."""

    @contextmanager
    def step(self) -> Iterator[None]:
        """Watch the working thread in the block."""
        self._steps += 1
        self._working = True
        try:
            yield
        finally:
            self._working = False

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, each of which is a step; the time between them is not watched."""
        iterator = iter(items)
        while True:
            with self.step():
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def check(self) -> None:
        """Add the time since the last check to that of the present step.

        Raises:
            VideoError: the present step has exceeded the timeout.
        """
        now = monotonic()
        passed = min(now - self._checked, MAX_STEP)
        self._checked = now
        if not self._working or self._steps != self._counted:
            self._counted = self._steps
            self._waited = 0.0
            return
        self._waited += passed
        if self._waited > self.seconds:
            raise VideoError(self.failure)


def stall_seconds(width: int, height: int) -> float:
    """Return the timeout in seconds for one step of an encoder."""
    return STALL_SECONDS * (1 + width * height / 1e6)
