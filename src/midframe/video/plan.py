"""What a result shows, and when: pure values, without pictures, networks or threads.

`plan` takes what matters of source frames, one after another, and yields what is shown from each
up to the next: source frames, and frames at a time between two. A renderer makes these.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from midframe.options import CutMode
from midframe.video.timeline import Shown, Timeline, shown_between

STILL_STEPS, STILL_SECONDS = 8, Fraction(1, 2)
"""A frame that is shown for longer than so many usual steps, and than so long, stood still: screens
are recorded where they change."""
SHORT_SEGMENT, LONG_SEGMENT = 60, 240
"""Frames of a segment that ends at a cut, at least, and of one that ends where there is none."""

Action = Literal["keep", "hold", "interpolate", "blend"]
"""Show a source frame for the first time, show it once more, interpolate between two source frames,
or mix these by time (across a cut)."""
IntervalType = Literal["start", "motion", "cut", "gap", "end"]
"""Before the first source frame, between two of one scene, across a cut, from a frame that stood
still, from the last source frame on."""


@dataclass(frozen=True)
class FrameTiming:
    """What the plan needs of a source frame. Times are in seconds of the source."""

    time: Fraction
    """When it is shown."""
    end: Fraction
    """When it is no longer shown."""
    begins_scene: bool = False
    captions: bool = False
    """It carries closed captions."""


@dataclass(frozen=True)
class PlannedFrame:
    """A frame of the result."""

    pts: int
    """When it is shown, in the time base of the timeline."""
    action: Action
    source: int
    """Number of the source frame, from 0, that is shown, or of the first of the two."""
    t: Fraction = Fraction(0)
    """Time between the two, above 0 and below 1; 0 for a source frame."""
    captions: int | None = None
    """Number of the source frame whose closed captions are attached."""


@dataclass(frozen=True)
class Extent:
    """What stretch of time a result covers. Times are in seconds of the source."""

    begin: Fraction
    """When the first source frame is placed."""
    end: Fraction
    """When the last frame of the result is no longer shown."""
    source_begin: Fraction
    """When the source itself shows its first frame."""
    source_end: Fraction
    """When the source itself no longer shows its last frame."""
    end_pts: int
    """`end` in the result's own time, in the time base of the timeline."""
    captions_left: int
    """Sets of closed captions that found no frame."""


@dataclass(frozen=True)
class Interval:
    """What is shown from one source frame up to the next."""

    type: IntervalType
    before: int | None
    """Number of the source frame that it begins with; None at the start."""
    after: int | None
    """Number of the source frame that it ends with; None at the end."""
    frames: tuple[PlannedFrame, ...]
    segment: int
    """Segment of the result, from 0, that its frames belong to."""
    error: Fraction
    """Seconds, in the time of the result, by which the time of what a frame shows differs at most
    from when it is shown; the time by which the source frame `after` was moved counts as well."""
    extent: Extent | None = None
    """Of the whole result; of the last interval alone."""


@dataclass(frozen=True)
class PlanRules:
    """What decides a plan beside the source frames."""

    timeline: Timeline
    source_rate: Fraction
    """Frames a second of the source."""
    cut: CutMode = "hold"
    depth: int | None = None
    """As of `shown_between`."""
    source_end: Fraction | None = None
    """When the last frame of the source is no longer shown, if it is known and later than that
    frame's own end."""
    from_zero: bool = False
    """The times of the result count from its first frame, not from the start of the source."""


def plan(timings: Iterable[FrameTiming], rules: PlanRules) -> Iterator[Interval]:
    """Plan a result from source frames in their order.

    An interval is yielded as soon as the source frame that ends it is taken, so the memory for a
    plan does not grow with the video, and a plan can follow frames that are just being decoded.

    Args:
        timings: the source frames.
        rules: what else decides the plan.

    Yields:
        One interval for each source frame, up to it; then one from the last to the end.
    """
    planner = _Planner(rules)
    for timing in timings:
        yield planner.up_to(timing)
    if planner.before:
        yield planner.closing(planner.before)


@dataclass
class _PlacedFrame:
    """A source frame on the timeline."""

    number: int
    timing: FrameTiming
    time: Fraction
    """When the timeline places it, in seconds of the source."""
    shown: bool = False


class _Planner:
    """The state of a plan between two intervals."""

    def __init__(self, rules: PlanRules) -> None:
        self.rules = rules
        self.timeline = rules.timeline
        self.first: _PlacedFrame | None = None
        self.before: _PlacedFrame | None = None
        self.captions = deque[int]()
        """Numbers of the source frames whose closed captions are still to be attached."""
        self.segment = 0
        self.frames_in_segment = 0

    @property
    def shift(self) -> int:
        """Ticks between the start of the source's time and that of the result."""
        if not self.rules.from_zero or self.first is None:
            return 0
        return round(self.first.time * self.timeline.slow / self.timeline.time_base)

    def up_to(self, timing: FrameTiming) -> Interval:
        """Plan what is shown from the frame before up to this one."""
        before = self.before
        after = _PlacedFrame(
            before.number + 1 if before else 0, timing, self.timeline.place(timing.time)
        )
        moved = abs(after.time - timing.time) * self.timeline.slow
        self.before = after
        if before is None:
            self.first = after
            return Interval("start", None, 0, (), 0, moved)
        # frames that the timeline would exchange are shown one after the other at one time
        after.time = max(after.time, before.time)
        interval_type = self._type_of(before, after)
        shown = list(shown_between(self.timeline, before.time, after.time, self.rules.depth))
        error = max([moved, *(each.error for each in shown if interval_type == "motion")])
        targets = [self._target(each, interval_type) for each in shown]
        if before.timing.captions and not before.shown and all(targets):
            self.captions.append(before.number)  # the frame itself is not shown
        frames = tuple(
            self._frame(each.pts, t, interval_type, before, after)
            for each, t in zip(shown, targets, strict=True)
        )
        interval = Interval(interval_type, before.number, after.number, frames, self.segment, error)
        self._end_segment(len(frames), at_cut=interval_type == "cut")
        return interval

    def closing(self, last: _PlacedFrame) -> Interval:
        """Plan what is shown from the last frame up to its end: the frame itself."""
        assert self.first, "there was a frame"
        own_end = last.timing.end
        if self.rules.source_end is not None:
            own_end = max(own_end, self.rules.source_end)
        end = self.timeline.end(last.time, own_end)
        frames = tuple(
            self._source_frame(each.pts, last)
            for each in shown_between(self.timeline, last.time, end, self.rules.depth)
        )
        end_pts = round(end * self.timeline.slow / self.timeline.time_base) - self.shift
        extent = Extent(
            self.first.time, end, self.first.timing.time, own_end, end_pts, len(self.captions)
        )
        return Interval("end", last.number, None, frames, self.segment, Fraction(0), extent)

    def _type_of(self, before: _PlacedFrame, after: _PlacedFrame) -> IntervalType:
        if after.timing.begins_scene:
            return "cut"
        length = after.time - before.time
        still = length > STILL_SECONDS and length > STILL_STEPS / self.rules.source_rate
        return "gap" if still else "motion"

    def _target(self, shown: Shown, interval_type: IntervalType) -> Fraction:
        """What is shown instead of a time between two frames: across a cut by the option, in a gap
        the frame before it."""
        if interval_type == "motion" or (interval_type == "cut" and self.rules.cut == "blend"):
            return shown.t
        if interval_type == "cut":
            return Fraction(round(shown.t) if self.rules.cut == "nearest" else int(shown.t))
        return Fraction(0)

    def _frame(
        self,
        pts: int,
        t: Fraction,
        interval_type: IntervalType,
        before: _PlacedFrame,
        after: _PlacedFrame,
    ) -> PlannedFrame:
        if t in (0, 1):
            return self._source_frame(pts, after if t else before)
        action: Action = "blend" if interval_type == "cut" else "interpolate"
        return PlannedFrame(pts - self.shift, action, before.number, t, self._next_captions())

    def _source_frame(self, pts: int, source: _PlacedFrame) -> PlannedFrame:
        action: Action = "hold" if source.shown else "keep"
        if not source.shown and source.timing.captions:
            self.captions.append(source.number)
        source.shown = True
        return PlannedFrame(pts - self.shift, action, source.number, captions=self._next_captions())

    def _next_captions(self) -> int | None:
        """The captions to attach to the next frame: each set once, one set a frame."""
        return self.captions.popleft() if self.captions else None

    def _end_segment(self, frames: int, *, at_cut: bool) -> None:
        """Begin a new segment if the present one is long enough.

        It depends on the plan alone, so work that is resumed has the same segments. A cut is a good
        place for the key frame that a segment begins with; a segment without one is longer, since
        every key frame costs bits.
        """
        self.frames_in_segment += frames
        if self.frames_in_segment >= (SHORT_SEGMENT if at_cut else LONG_SEGMENT):
            self.segment += 1
            self.frames_in_segment = 0
