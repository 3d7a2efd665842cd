"""Properties of every plan: times, order, and the use of each source frame."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.options import CutMode
from midframe.video.plan import (
    GAP_SECONDS,
    LONG_SEGMENT,
    SHORT_SEGMENT,
    FrameTiming,
    Interval,
    PlannedFrame,
    PlanOptions,
    plan_intervals,
)
from midframe.video.timeline import ConstantRate, Timeline, VariableRate

RATE = Fraction(25)
STEPS = st.fractions(Fraction(1, 200), Fraction(1, 4), max_denominator=1000)
CUTS: Any = st.sampled_from(get_args(CutMode))


@st.composite
def sources(draw: st.DrawFn) -> list[FrameTiming]:
    """Source frames at any times, some of them at cuts, some with captions."""
    start = draw(st.fractions(-1, 2, max_denominator=100))
    steps = draw(st.lists(STEPS | st.just(Fraction(3, 5)), min_size=1, max_size=8))
    times = [start + sum(steps[:number], Fraction(0)) for number in range(len(steps) + 1)]
    flags = st.booleans()
    return [
        FrameTiming(begin, end, begins_scene=number > 0 and draw(flags), captions=draw(flags))
        for number, (begin, end) in enumerate(pairwise(times))
    ]


@st.composite
def plan_options(draw: st.DrawFn, cut: CutMode | None = None) -> PlanOptions:
    """Options of a constant rate, or of the source's own times."""
    slow = draw(st.sampled_from([Fraction(1), Fraction(5, 2), Fraction(4)]))
    constant = st.builds(
        ConstantRate, st.sampled_from([Fraction(10), Fraction(50), Fraction(60000, 1001)]),
        st.just(slow), st.fractions(-1, 1, max_denominator=50),
    )  # fmt: skip
    own = st.builds(
        VariableRate, st.integers(1, 5), st.just(RATE), st.just(Fraction(1, 1000)), st.just(slow)
    )
    timeline: Timeline = draw(constant | own)
    return PlanOptions(
        timeline,
        RATE,
        cut=cut or draw(CUTS),
        depth=draw(st.sampled_from([None, 1, 4])),
        starts_at_zero=draw(st.booleans()),
    )


def frames_of(intervals: list[Interval]) -> list[PlannedFrame]:
    return [frame for interval in intervals for frame in interval.frames]


@settings(deadline=None, max_examples=60)
@given(timings=sources(), options=plan_options())
def test_each_source_frame_ends_an_interval_and_the_last_interval_ends_the_video(
    timings: list[FrameTiming], options: PlanOptions
) -> None:
    intervals = list(plan_intervals(timings, options))
    count = len(timings)
    assert [each.before for each in intervals] == [None, *range(count)]
    assert [each.after for each in intervals] == [*range(count), None]
    assert (intervals[0].type, intervals[-1].type) == ("start", "end")
    assert [each.extent is None for each in intervals] == [True] * count + [False]
    for interval, timing in zip(intervals[1:-1], timings[1:], strict=True):
        assert (interval.type == "cut") == timing.begins_scene
        assert interval.type in ("motion", "cut", "gap")


@settings(deadline=None, max_examples=60)
@given(timings=sources(), options=plan_options())
def test_the_times_of_frames_increase_up_to_the_end(
    timings: list[FrameTiming], options: PlanOptions
) -> None:
    intervals = list(plan_intervals(timings, options))
    extent = intervals[-1].extent
    assert extent
    times = [frame.pts for frame in frames_of(intervals)]
    assert sorted(set(times)) == times
    assert not times or times[-1] < extent.end_pts
    if options.starts_at_zero and isinstance(options.timeline, VariableRate):
        assert times[0] == 0
    assert extent.source_begin == timings[0].time
    assert extent.source_end == timings[-1].end


@settings(deadline=None, max_examples=60)
@given(timings=sources(), options=plan_options())
def test_only_frames_within_one_scene_are_interpolated(
    timings: list[FrameTiming], options: PlanOptions
) -> None:
    for interval in plan_intervals(timings, options):
        for frame in interval.frames:
            if frame.action in ("keep", "hold"):
                assert frame.t == 0
                assert frame.source in (interval.before, interval.after)
            else:
                assert 0 < frame.t < 1
                assert frame.source == interval.before
                blended = interval.type == "cut" and options.cut == "blend"
                assert (interval.type == "motion") != blended
                assert (frame.action == "blend") == blended


@settings(deadline=None, max_examples=60)
@given(timings=sources(), options=plan_options())
def test_a_source_frame_is_kept_once_and_then_held(
    timings: list[FrameTiming], options: PlanOptions
) -> None:
    shown = [
        frame
        for frame in frames_of(list(plan_intervals(timings, options)))
        if frame.action in ("keep", "hold")
    ]
    kept = [frame.source for frame in shown if frame.action == "keep"]
    assert sorted(set(kept)) == kept
    seen: set[int] = set()
    for frame in shown:
        assert (frame.action == "hold") == (frame.source in seen)
        seen.add(frame.source)


@settings(deadline=None, max_examples=60)
@given(timings=sources(), factor=st.integers(1, 5))
def test_a_variable_rate_keeps_every_source_frame_at_its_time(
    timings: list[FrameTiming], factor: int
) -> None:
    timeline = VariableRate(factor, RATE, Fraction(1, 1000))
    intervals = list(plan_intervals(timings, PlanOptions(timeline, RATE)))
    kept = [frame for frame in frames_of(intervals) if frame.action == "keep"]
    assert [frame.source for frame in kept] == list(range(len(timings)))
    assert [frame.pts for frame in kept] == [
        round(timing.time / timeline.time_base) for timing in timings
    ]
    assert len(frames_of(intervals)) == factor * len(timings)


@settings(deadline=None, max_examples=60)
@given(timings=sources(), options=plan_options())
def test_captions_are_attached_once_or_counted_as_not_shown(
    timings: list[FrameTiming], options: PlanOptions
) -> None:
    intervals = list(plan_intervals(timings, options))
    shown = [each.captions for each in frames_of(intervals) if each.captions is not None]
    assert sorted(set(shown)) == shown
    assert {number for number, timing in enumerate(timings) if timing.captions} >= set(shown)
    extent = intervals[-1].extent
    assert extent
    lost = sum(timing.captions for timing in timings) - len(shown) - extent.captions_left
    assert lost >= 0
    if frames_of(intervals)[-1:] and isinstance(options.timeline, VariableRate):
        assert lost == 0


@settings(deadline=None, max_examples=60)
@given(timings=sources(), options=plan_options())
def test_a_plan_depends_only_on_earlier_frames(
    timings: list[FrameTiming], options: PlanOptions
) -> None:
    """So frames can be planned while they are decoded, and resumed work has the same plan."""
    whole = list(plan_intervals(timings, options))
    taken = 0

    def one_by_one() -> Any:
        nonlocal taken
        for timing in timings:
            taken += 1
            yield timing

    for number, interval in enumerate(plan_intervals(one_by_one(), options)):
        assert interval == whole[number]
        assert taken == min(number + 1, len(timings))
    for count in range(1, len(timings)):
        assert list(plan_intervals(timings[:count], options))[:count] == whole[:count]


@pytest.mark.parametrize(
    ("cut", "targets"),
    [("hold", ["hold", "hold", "hold"]), ("nearest", ["hold", "hold", "keep"]),
     ("blend", ["blend", "blend", "blend"])],
)  # fmt: skip
def test_cuts_are_crossed_as_the_cut_option_requests(cut: CutMode, targets: list[str]) -> None:
    step = 1 / RATE
    timings = [FrameTiming(n * step, (n + 1) * step, begins_scene=n == 1) for n in range(2)]
    intervals = list(
        plan_intervals(timings, PlanOptions(VariableRate(4, RATE, step / 100), RATE, cut=cut))
    )
    assert intervals[1].type == "cut"
    assert [frame.action for frame in intervals[1].frames] == ["keep", *targets]


def test_a_frame_before_a_gap_is_held() -> None:
    end = GAP_SECONDS + Fraction(1, 10)
    timings = [FrameTiming(Fraction(0), end), FrameTiming(end, end + 1 / RATE)]
    intervals = list(plan_intervals(timings, PlanOptions(ConstantRate(2 * RATE), RATE)))
    assert intervals[1].type == "gap"
    assert Counter(frame.action for frame in intervals[1].frames) == {"keep": 1, "hold": 29}
    assert intervals[1].error == 0


@pytest.mark.parametrize(
    ("cut_at", "ends"),
    [(None, [240, 480]), (30, [60, 300]), (29, [240, 480]), (200, [240, 400])],
)
def test_segments_end_at_cuts_or_at_their_maximum_length(
    cut_at: int | None, ends: list[int]
) -> None:
    step = 1 / RATE
    timings = [FrameTiming(n * step, (n + 1) * step, begins_scene=n == cut_at) for n in range(260)]
    intervals = list(plan_intervals(timings, PlanOptions(ConstantRate(2 * RATE), RATE)))
    counts = Counter(segment for each in intervals for segment in [each.segment] * len(each.frames))
    found = [sum(counts[number] for number in range(count + 1)) for count in range(2)]
    assert found == ends
    assert (SHORT_SEGMENT, LONG_SEGMENT) == (60, 240)


def test_the_timing_error_includes_rounded_network_times_and_snapped_frames() -> None:
    late = Fraction(1, 100)
    timeline = ConstantRate(2 * RATE, source_step=1 / RATE, max_snap=late)
    timings = [FrameTiming(Fraction(0), 1 / RATE), FrameTiming(1 / RATE + late, 2 / RATE)]
    intervals = list(plan_intervals(timings, PlanOptions(timeline, RATE)))
    assert [each.error for each in intervals] == [0, late, 0]
    thirds = list(plan_intervals([FrameTiming(n / RATE, (n + 1) / RATE) for n in range(2)],
                       PlanOptions(ConstantRate(3 * RATE), RATE, depth=1)))  # fmt: skip
    assert thirds[1].error == Fraction(1, 6) / RATE


def test_a_plan_without_frames_is_empty() -> None:
    assert list(plan_intervals([], PlanOptions(ConstantRate(RATE), RATE))) == []
