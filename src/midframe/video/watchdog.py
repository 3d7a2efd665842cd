"""A watch over calls into libraries that may never return."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

from midframe.errors import VideoError

STALL_SECONDS = 300.0
"""Seconds without progress of an encoder, and as much again for each megapixel of a frame."""
MAX_STEP = 1.0
"""Largest number of seconds counted between two checks: a process that was suspended has not
waited."""

Item = TypeVar("Item")


class Watchdog:
    """Detects that a working thread makes no progress; one thread works, another checks.

    Args:
        seconds: how long the working thread may take for one step.
        failure: what is wrong if it takes longer.
    """

    def __init__(self, seconds: float, failure: str) -> None:
        self.seconds, self.failure = seconds, failure
        self._steps, self._working = 0, False
        self._counted, self._waited, self._checked = 0, 0.0, monotonic()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Watch the working thread in the block."""
        self._steps, self._working = self._steps + 1, True
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
        """Count the time since the last check.

        Raises:
            VideoError: the working thread has taken too long for its present step.
        """
        now = monotonic()
        passed, self._checked = min(now - self._checked, MAX_STEP), now
        if not self._working or self._steps != self._counted:
            self._counted, self._waited = self._steps, 0.0
            return
        self._waited += passed
        if self._waited > self.seconds:
            raise VideoError(self.failure)


def stall_seconds(width: int, height: int) -> float:
    """Return how many seconds an encoder may take for one step."""
    return STALL_SECONDS * (1 + width * height / 1e6)
