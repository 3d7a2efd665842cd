"""The plan of a result: which frame is shown at which time, without images, networks or threads.

`plan` reads the times of the source frames one after another, and yields for each interval between
two of them the frames to show: source frames, and frames to interpolate. `Renderer` renders them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from midframe.options import CutMode
from midframe.video.timeline import OutputTime, Timeline, output_times

GAP_STEPS, GAP_SECONDS = 8, Fraction(1, 2)
"""A frame that is shown for more than this many usual steps and seconds is held instead of
interpolated: screen recordings have a frame only where the image changes."""
SHORT_SEGMENT, LONG_SEGMENT = 60, 240
"""Minimum number of frames of a segment that ends at a cut, and of one that ends elsewhere."""

Action = Literal["keep", "hold", "interpolate", "blend"]
"""Show a source frame for the first time, show it once more, interpolate between two source frames,
or mix these by time (across a cut)."""
IntervalType = Literal["start", "motion", "cut", "gap", "end"]
"""Up to the first source frame; between two frames of one scene; across a cut; after a frame that
is shown for long; from the last source frame to the end."""


@dataclass(frozen=True)
class FrameTiming:
    """The properties of a source frame that affect the plan. Times are in seconds of the source."""

    time: Fraction
    """Start of the frame."""
    end: Fraction
    """End of the frame."""
    begins_scene: bool = False
    captions: bool = False
    """It has closed captions."""


@dataclass(frozen=True)
class PlannedFrame:
    """A frame of the result."""

    pts: int
    """In the time base of the timeline."""
    action: Action
    source: int
    """Number, from 0, of the source frame that is shown, or of the first of the two."""
    t: Fraction = Fraction(0)
    """Time between the two source frames, between 0 and 1; 0 for a source frame."""
    captions: int | None = None
    """Number of the source frame whose closed captions are attached."""


@dataclass(frozen=True)
class Extent:
    """The time that a result covers. Times are in seconds of the source."""

    begin: Fraction
    """Time of the first source frame on the timeline."""
    end: Fraction
    """End of the last frame of the result."""
    source_begin: Fraction
    """Time of the first frame in the source."""
    source_end: Fraction
    """End of the last frame in the source."""
    end_pts: int
    """`end` as pts of the result, in the time base of the timeline."""
    captions_left: int
    """Number of sets of closed captions that are attached to no frame."""


@dataclass(frozen=True)
class Interval:
    """The frames from one source frame up to the next."""

    type: IntervalType
    before: int | None
    """Number of the source frame that it begins with; None at the start."""
    after: int | None
    """Number of the source frame that it ends with; None at the end."""
    frames: tuple[PlannedFrame, ...]
    segment: int
    """Number of the segment that contains its frames, from 0."""
    error: Fraction
    """Largest difference, in seconds of the result, between the time of a frame and the time of its
    content; includes the distance by which the source frame `after` was snapped."""
    extent: Extent | None = None
    """Of the whole result; set only in the last interval."""


@dataclass(frozen=True)
class PlanOptions:
    """The options of a plan."""

    timeline: Timeline
    source_rate: Fraction
    """Frames per second of the source."""
    cut: CutMode = "hold"
    depth: int | None = None
    """As in `output_times`."""
    source_end: Fraction | None = None
    """End of the last frame of the source, if the container states it; used if it is later than the
    end of the frame itself."""
    starts_at_zero: bool = False
    """The first frame of the result has pts 0; otherwise times count from the start of the
    source."""


def plan_intervals(timings: Iterable[FrameTiming], options: PlanOptions) -> Iterator[Interval]:
    """Plan a result from the times of its source frames.

    An interval is yielded as soon as the source frame at its end is read, so memory does not grow
    with the video, and the plan can be made while the source is decoded.

    Args:
        timings: the source frames, in order.
        options: of the plan.

    Yields:
        For each source frame, the interval that ends with it; then the interval from the last one
        to the end.
    """
    planner = _Planner(options)
    for timing in timings:
        yield planner.plan_until(timing)
    if planner.before:
        yield planner.plan_end(planner.before)


@dataclass
class _TimelineFrame:
    """A source frame on the timeline."""

    number: int
    timing: FrameTiming
    time: Fraction
    """Its time on the timeline, in seconds of the source."""
    shown: bool = False


class _Planner:
    """The state of a plan between two intervals."""

    def __init__(self, options: PlanOptions) -> None:
        self.options = options
        self.timeline = options.timeline
        self.first: _TimelineFrame | None = None
        self.before: _TimelineFrame | None = None
        self.captions = deque[int]()
        """Numbers of the source frames whose closed captions are not attached yet."""
        self.segment = 0
        self.frames_in_segment = 0

    @property
    def shift(self) -> int:
        """Return the pts to subtract from all frames of the result."""
        if not self.options.starts_at_zero or self.first is None:
            return 0
        return round(self.first.time * self.timeline.slow / self.timeline.time_base)

    def plan_until(self, timing: FrameTiming) -> Interval:
        """Plan the interval from the previous source frame up to this one."""
        before = self.before
        after = _TimelineFrame(
            before.number + 1 if before else 0, timing, self.timeline.snap(timing.time)
        )
        snap_error = abs(after.time - timing.time) * self.timeline.slow
        self.before = after
        if before is None:
            self.first = after
            return Interval("start", None, 0, (), 0, snap_error)
        # snapping must not reverse the order of frames
        after.time = max(after.time, before.time)
        interval_type = self._type_of(before, after)
        shown = list(output_times(self.timeline, before.time, after.time, self.options.depth))
        error = snap_error
        if interval_type == "motion":
            error = max([error, *(each.error for each in shown)])
        content_times = [self._content_time(each, interval_type) for each in shown]
        if before.timing.captions and not before.shown and 0 not in content_times:
            self.captions.append(before.number)  # the source frame itself is not shown
        frames = tuple(
            self._frame(each.pts, t, interval_type, before, after)
            for each, t in zip(shown, content_times, strict=True)
        )
        interval = Interval(interval_type, before.number, after.number, frames, self.segment, error)
        self._end_segment(len(frames), at_cut=interval_type == "cut")
        return interval

    def plan_end(self, last: _TimelineFrame) -> Interval:
        """Plan the interval from the last source frame to its end: the frame is held."""
        assert self.first, "there was a frame"
        own_end = last.timing.end
        if self.options.source_end is not None:
            own_end = max(own_end, self.options.source_end)
        end = self.timeline.end(last.time, own_end)
        frames = tuple(
            self._source_frame(each.pts, last)
            for each in output_times(self.timeline, last.time, end, self.options.depth)
        )
        end_pts = round(end * self.timeline.slow / self.timeline.time_base) - self.shift
        extent = Extent(
            self.first.time, end, self.first.timing.time, own_end, end_pts, len(self.captions)
        )
        return Interval("end", last.number, None, frames, self.segment, Fraction(0), extent)

    def _type_of(self, before: _TimelineFrame, after: _TimelineFrame) -> IntervalType:
        if after.timing.begins_scene:
            return "cut"
        length = after.time - before.time
        is_gap = length > GAP_SECONDS and length > GAP_STEPS / self.options.source_rate
        return "gap" if is_gap else "motion"

    def _content_time(self, shown: OutputTime, interval_type: IntervalType) -> Fraction:
        """Return the time of the content between the two source frames, from 0 to 1: across a cut
        it depends on the option `cut`, in a gap it is 0, the frame before it."""
        if interval_type == "motion" or (interval_type == "cut" and self.options.cut == "blend"):
            return shown.t
        if interval_type == "cut":
            return Fraction(round(shown.t) if self.options.cut == "nearest" else int(shown.t))
        return Fraction(0)

    def _frame(
        self,
        pts: int,
        t: Fraction,
        interval_type: IntervalType,
        before: _TimelineFrame,
        after: _TimelineFrame,
    ) -> PlannedFrame:
        if t in (0, 1):
            return self._source_frame(pts, after if t else before)
        action: Action = "blend" if interval_type == "cut" else "interpolate"
        return PlannedFrame(pts - self.shift, action, before.number, t, self._next_captions())

    def _source_frame(self, pts: int, source: _TimelineFrame) -> PlannedFrame:
        action: Action = "hold" if source.shown else "keep"
        if not source.shown and source.timing.captions:
            self.captions.append(source.number)
        source.shown = True
        return PlannedFrame(pts - self.shift, action, source.number, captions=self._next_captions())

    def _next_captions(self) -> int | None:
        """Return the source frame of the captions for the next frame: one set per frame."""
        return self.captions.popleft() if self.captions else None

    def _end_segment(self, frames: int, *, at_cut: bool) -> None:
        """Begin a new segment if the present one is long enough.

        Segments depend only on the plan, so resumed work has the same segments. Each begins with a
        key frame, which costs few additional bits at a cut; so segments that end elsewhere are
        longer.
        """
        self.frames_in_segment += frames
        if self.frames_in_segment >= (SHORT_SEGMENT if at_cut else LONG_SEGMENT):
            self.segment += 1
            self.frames_in_segment = 0
