"""The measured rate of work."""

from collections import deque

FIRST_PAUSE = 1.0
"""A pause of this many seconds ends the preparation: kernels were compiled, or the first frame was
interpolated."""
WARM_UP = 3.0
"""Seconds after which the preparation ends without such a pause."""
MIN_MEASURED = 1.0
"""Minimum duration of a measurement in seconds."""
WINDOW = 30.0
"""Maximum duration of a measurement in seconds."""


class Pace:
    """The rate of work, measured from the end of its preparation.

    Frames are read ahead in no time, then kernels are compiled: a rate from the first update on
    means nothing.
    """

    def __init__(self) -> None:
        self._begin: float | None = None
        self._last = 0.0
        self._steady = False
        self._points = deque[tuple[float, float]]()
        """Pairs of time and count, the oldest not much older than the window."""

    def update(self, count: float, now: float) -> None:
        """Add a count."""
        if self._begin is None:
            self._begin = self._last = now
        if not self._steady and (now - self._last > FIRST_PAUSE or now - self._begin > WARM_UP):
            self._steady = True
            self._points.clear()
        self._last = now
        self._points.append((now, count))
        while len(self._points) > 2 and now - self._points[1][0] > WINDOW:
            self._points.popleft()

    def rate(self, now: float) -> float | None:
        """Return the counts per second; None before they are known."""
        if not self._steady or len(self._points) < 2:
            return None
        (begin, before), (_, count) = self._points[0], self._points[-1]
        return (
            (count - before) / (now - begin)
            if now - begin >= MIN_MEASURED and count > before
            else None
        )

    def is_preparing(self, now: float) -> bool:
        """Return whether the work is in a pause of its preparation."""
        return not self._steady and now - self._last > MIN_MEASURED / 2
