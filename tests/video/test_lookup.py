from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.errors import OptionError
from midframe.media.reading.frame_rate import exact_rate
from midframe.options import RetimingOptions
from midframe.video.lookup import FrameLookup
from midframe.video.plan import FrameTiming, PlannedFrame, PlanOptions, plan_intervals
from midframe.video.timeline import choose_timeline

RATES = [Fraction(25), Fraction(24000, 1001), Fraction(60)]
CHANGES: list[dict[str, Any]] = [
    {}, {"factor": 3}, {"factor": "2.5"}, {"factor": 1}, {"fps": 60}, {"fps": "59.94"}, {"fps": 24},
]  # fmt: skip


def planned(frames: int, rate: Fraction, options: RetimingOptions, depth: int | None) -> Any:
    timings = [FrameTiming(number / rate, (number + 1) / rate) for number in range(frames)]
    timeline = choose_timeline(exact_rate(rate, Fraction(0)), 1 / rate, options)
    rules = PlanOptions(timeline, rate, depth=depth)
    found: list[PlannedFrame] = [
        each for part in plan_intervals(timings, rules) for each in part.frames
    ]
    return [(each.source, each.t) for each in found]


@given(
    st.integers(1, 30),
    st.sampled_from(RATES),
    st.sampled_from(CHANGES),
    st.sampled_from([None, 1, 4]),
)
def test_the_lookup_of_any_frame_equals_the_plan(
    frames: int, rate: Fraction, change: dict[str, Any], depth: int | None
) -> None:
    options = RetimingOptions(**change)
    lookup = FrameLookup(frames, rate, options, depth)
    found = [lookup.content(number) for number in reversed(range(lookup.frames))][::-1]
    assert [(each.source, each.t) for each in found] == planned(frames, rate, options, depth)


def test_intervals_of_different_durations_are_divided_equally() -> None:
    lookup = FrameLookup(3, None, RetimingOptions(factor=3))
    assert lookup.rate is None
    found = [lookup.content(number) for number in range(lookup.frames)]
    assert [each.source for each in found] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [each.t for each in found[:6]] == [0, Fraction(1, 3), Fraction(2, 3)] * 2
    assert [each.t for each in found[6:]] == [0, 0, 0]  # the last frame is held
    assert [each.begin for each in found] == [0, Fraction(1, 3), Fraction(2, 3)] * 3


def test_a_frame_has_its_start_within_its_source_frame() -> None:
    lookup = FrameLookup(10, Fraction(25), RetimingOptions(fps=60))
    for number in range(lookup.frames):
        content = lookup.content(number)
        time = (content.source + content.begin) / 25
        assert time == Fraction(number, 60)


def test_the_frames_of_a_long_source_are_counted_without_a_loop() -> None:
    two_hours = 172_800
    lookup = FrameLookup(two_hours, Fraction(24000, 1001), RetimingOptions(fps=60))
    assert lookup.frames == ceil(two_hours * Fraction(1001, 24000) * 60 - Fraction(1, 4))
    assert lookup.content(lookup.frames - 1).source == two_hours - 1


@pytest.mark.parametrize("change", [{"fps": 60}, {"factor": "2.5"}])
def test_frames_of_different_durations_need_an_integer_factor(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="differ in length"):
        FrameLookup(3, None, RetimingOptions(**change))
