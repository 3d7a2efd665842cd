"""Strictly rising times for decoded frames, even if timestamps are missing or equal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

MAX_EQUAL_STAMPS = 64
"""If more frames than this have the same timestamp, the timestamp is invalid."""

TimedFrame = tuple[av.VideoFrame, int | Fraction, int | Fraction]
"""A frame, its pts and its duration."""


@dataclass
class FrameClock:
    """Assigns times to frames, in the time base of their stream."""

    start: int
    """Time of the first frame."""
    frame_duration: int
    """Duration of frames without one."""
    uses_dts: bool
    """The container has no presentation timestamps: times follow from the decoding order."""
    ignores_pts: bool
    """The timestamps of the file are unusable: frames follow each other at `frame_duration`."""
    first_dts: int | None = None

    def spread(self, frames: Iterable[av.VideoFrame]) -> Iterator[TimedFrame]:
        """Yield frames at rising times: frames with equal or decreasing timestamps are spread
        evenly up to the next larger timestamp."""
        group: list[av.VideoFrame] = []
        time = 0
        for frame in frames:
            pts = self._pts(frame)
            if pts is None:
                pts = self._next_time(group[-1], time) if group else self.start
            if group and pts <= time and len(group) < MAX_EQUAL_STAMPS:
                group.append(frame)
                continue
            if group:
                pts = max(pts, time + 1)
                yield from _spread_evenly(group, time, pts)
            group, time = [frame], pts
        if group:
            yield from _spread_evenly(
                group, time, time + (group[0].duration or self.frame_duration)
            )

    def _next_time(self, frame: av.VideoFrame, time: int) -> int:
        """Return the time of a frame without a timestamp that follows a frame at `time`."""
        return time + ((not self.ignores_pts and frame.duration) or self.frame_duration)

    def _pts(self, frame: av.VideoFrame) -> int | None:
        """Return the timestamp of a frame; None if it has none that can be used."""
        if self.ignores_pts:
            return None
        if not self.uses_dts:
            return None if frame.pts is None else int(frame.pts)
        if frame.dts is None:
            return None
        self.first_dts = int(frame.dts) if self.first_dts is None else self.first_dts
        return int(frame.dts) - self.first_dts + self.start


def _spread_evenly(group: Sequence[av.VideoFrame], begin: int, end: int) -> Iterator[TimedFrame]:
    """Yield frames that share a timestamp at equal steps from `begin` to `end`."""
    if len(group) == 1:
        yield group[0], begin, group[0].duration
        return
    step = Fraction(end - begin, len(group))
    for number, frame in enumerate(group):
        yield frame, begin + number * step, step
