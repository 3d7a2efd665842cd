"""Times of decoded frames: rising, also if a file has no timestamps, or equal ones."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

MAX_EQUAL_STAMPS = 64
"""More frames than this with one timestamp have no timestamps at all."""

TimedFrame = tuple[av.VideoFrame, int | Fraction, int | Fraction]
"""A frame, its pts and its duration."""


@dataclass
class FrameClock:
    """Assigns times to frames, in the time base of their stream."""

    start: int
    """Time of the first frame."""
    frame_duration: int
    """Duration of a frame that states none."""
    counted: bool
    """The container has no times: they follow from the order of decoding."""
    untimed: bool
    """The timestamps of the file are useless."""
    first_dts: int | None = None

    def spread(self, frames: Iterable[av.VideoFrame]) -> Iterator[TimedFrame]:
        """Yield frames at rising times: those that share a time, or go back, are spread up to the
        next later one."""
        group: list[av.VideoFrame] = []
        time = 0
        for frame in frames:
            pts = self._pts(frame)
            if pts is None:
                pts = self._next(group[-1], time) if group else self.start
            if group and pts <= time and len(group) < MAX_EQUAL_STAMPS:
                group.append(frame)
                continue
            if group:
                pts = max(pts, time + 1)
                yield from _evenly(group, time, pts)
            group, time = [frame], pts
        if group:
            yield from _evenly(group, time, time + (group[0].duration or self.frame_duration))

    def _next(self, frame: av.VideoFrame, time: int) -> int:
        """Return the time of a frame without a timestamp that follows a frame at `time`."""
        return time + ((not self.untimed and frame.duration) or self.frame_duration)

    def _pts(self, frame: av.VideoFrame) -> int | None:
        """Return the frame's timestamp, if it has one."""
        if self.untimed:
            return None
        if not self.counted:
            return None if frame.pts is None else int(frame.pts)
        if frame.dts is None:
            return None
        self.first_dts = int(frame.dts) if self.first_dts is None else self.first_dts
        return int(frame.dts) - self.first_dts + self.start


def _evenly(group: Sequence[av.VideoFrame], begin: int, end: int) -> Iterator[TimedFrame]:
    """Yield frames that share a time at equal steps, from it up to the next."""
    if len(group) == 1:
        yield group[0], begin, group[0].duration
        return
    step = Fraction(end - begin, len(group))
    for number, frame in enumerate(group):
        yield frame, begin + number * step, step
