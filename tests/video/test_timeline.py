from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.media.reading.frame_rate import SourceRate
from midframe.options import RetimingOptions
from midframe.rates import parse_rate
from midframe.video.timeline import (
    MIN_TICKS,
    ConstantRate,
    OutputTime,
    Timeline,
    VariableRate,
    choose_timeline,
    estimate_frames,
    output_times,
)

NTSC = Fraction(24000, 1001)
RATES = st.sampled_from(
    [Fraction(24), NTSC, Fraction(25), Fraction(30), Fraction(50), Fraction(60000, 1001)]
)
REGULAR = SourceRate(NTSC, Fraction(0), True, 1 / NTSC / 8)
SLOW = st.sampled_from([Fraction(1), Fraction(4), Fraction(5, 2)])


def all_shown(timeline: Timeline, times: list[Fraction], depth: int = 4) -> list[OutputTime]:
    """Return the shown frames of a video with frames at some times; the last time is its end."""
    return [each for pair in pairwise(times) for each in output_times(timeline, *pair, depth)]


@given(
    gaps=st.lists(st.fractions(Fraction(1, 500), 1), min_size=1, max_size=12), rate=RATES,
    slow=SLOW, start=st.fractions(-3, 3),
)  # fmt: skip
def test_a_constant_rate_has_equal_steps_from_the_first_frame_to_the_end(
    gaps: list[Fraction], rate: Fraction, slow: Fraction, start: Fraction
) -> None:
    times = [start + sum(gaps[:n]) for n in range(len(gaps) + 1)]
    timeline = ConstantRate(rate, slow, start)
    shown = all_shown(timeline, times)
    assert {after.pts - before.pts for before, after in pairwise(shown)} <= {
        1 / (rate * timeline.time_base)
    }
    assert abs(shown[0].pts * timeline.time_base - start * slow) <= Fraction(1, 2 * MIN_TICKS)
    length = (times[-1] - start) * slow
    assert len(shown) - 1 < length * rate <= len(shown)


@given(
    gaps=st.lists(st.fractions(Fraction(1, 500), 1), min_size=1, max_size=12), rate=RATES,
    depth=st.integers(1, 5), slow=SLOW,
)  # fmt: skip
def test_the_timing_error_is_the_largest_difference_from_the_true_times(
    gaps: list[Fraction], rate: Fraction, depth: int, slow: Fraction
) -> None:
    times = [sum(gaps[:n], Fraction(0)) for n in range(len(gaps) + 1)]
    timeline = ConstantRate(rate, slow)
    for before, after in pairwise(times):
        for each in output_times(timeline, before, after, depth):
            seen = (before + each.t * (after - before)) * slow
            assert abs(seen - each.pts * timeline.time_base) == each.error
            assert each.error <= (after - before) * slow / 2 ** (depth + 1)
            assert 0 <= each.t <= 1


@given(
    rate=RATES,
    factor=st.integers(1, 8),
    count=st.integers(2, 30),
    tick=st.sampled_from([None, Fraction(1, 1000)]),
)
def test_a_multiple_of_the_source_rate_keeps_every_source_frame(
    rate: Fraction, factor: int, count: int, tick: Fraction | None
) -> None:
    exact = [n / rate for n in range(count + 1)]
    times = (
        [round(time / tick) * tick for time in exact] if tick else exact
    )  # as Matroska rounds them
    shown = all_shown(ConstantRate(rate * factor), times)
    assert len(shown) in (factor * count, factor * count + 1)
    assert sum(each.t in (0, 1) and n % factor == 0 for n, each in enumerate(shown)) >= count
    if not tick and factor in (1, 2, 4, 8):
        assert {each.error for each in shown} == {0}


@pytest.mark.slow
def test_two_hours_of_24000_1001_at_60_end_within_a_frame_of_the_source() -> None:
    count = 2 * 3600 * 24
    timeline, end, worst, last, number = ConstantRate(Fraction(60)), count / NTSC, Fraction(0), 0, 0
    for n in range(count):
        for each in output_times(timeline, n / NTSC, (n + 1) / NTSC, 4):
            worst, last, number = max(worst, each.error), each.pts, number + 1
    assert 0 <= last * timeline.time_base + Fraction(1, 60) - end < Fraction(1, 60)
    assert number == last * timeline.time_base * 60 + 1
    assert worst <= 1 / NTSC / 32


@given(
    gaps=st.lists(st.integers(1, 10**5), min_size=1, max_size=20),
    factor=st.integers(1, 8),
    slow=SLOW,
)
def test_a_variable_rate_divides_intervals_evenly_and_exactly(
    gaps: list[int], factor: int, slow: Fraction
) -> None:
    tick = Fraction(1, 90000)
    times = [sum(gaps[:n]) * tick for n in range(len(gaps) + 1)]
    timeline = VariableRate(factor, Fraction(30), tick, slow)
    found = [each.pts * timeline.time_base for each in all_shown(timeline, times)]
    cut = [
        before + (after - before) * part / factor
        for before, after in pairwise(times)
        for part in range(factor)
    ]
    assert found == [time * slow for time in cut]


@pytest.mark.parametrize(
    ("options", "rate", "slow"),
    [
        ({}, 2 * NTSC, 1), ({"factor": 3}, 3 * NTSC, 1), ({"fps": "60"}, 60, 1),
        ({"slow": 4}, NTSC, 4),
        ({"slow": 2.5, "fps": "59.94"}, Fraction(60000, 1001), Fraction(5, 2)),
        ({"factor": 2, "slow": 2}, 2 * NTSC, 2),
        ({"vfr": True}, 2 * NTSC, 1), ({"vfr": True, "slow": 3}, NTSC, 3),
    ],
)  # fmt: skip
def test_options_determine_the_timeline(options: dict, rate: Fraction, slow: Fraction) -> None:
    timeline = choose_timeline(REGULAR, Fraction(1, 24000), RetimingOptions(**options))
    assert (timeline.rate, timeline.slow) == (rate, slow)
    assert isinstance(timeline, VariableRate) == ("vfr" in options)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"factor": 2, "fps": "60"}, "one of them"), ({"factor": 0}, "factor is 0"),
        ({"slow": 0.5}, "slow is 0.5"),
        ({"fps": "fast"}, "'fast': a number"), ({"fps": "0"}, "above 0"),
        ({"fps": "1/0"}, "a number"), ({"fps": "60", "vfr": True}, "vfr"),
    ],
)  # fmt: skip
def test_impossible_retiming_options_are_refused(options: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        choose_timeline(REGULAR, Fraction(1, 24000), RetimingOptions(**options))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", 60), ("60000/1001", Fraction(60000, 1001)), ("59.94", Fraction(60000, 1001)),
        ("23.976", NTSC), ("12.5", Fraction(25, 2)), (30, 30), (29.97, Fraction(30000, 1001)),
    ],
)  # fmt: skip
def test_frame_rates_are_parsed(text: object, rate: Fraction) -> None:
    assert parse_rate(text) == rate  # type: ignore[arg-type]


def test_frames_near_the_grid_are_snapped_and_none_is_lost() -> None:
    late = [Fraction(0), *(Fraction(n, 30) + Fraction(11, 600) for n in range(1, 60))]
    source = SourceRate(Fraction(30), late[1], True, Fraction(1, 240))
    timeline = choose_timeline(source, Fraction(1, 90000), RetimingOptions())
    placed = [timeline.snap(time) for time in late]
    assert placed[1:] == late[1:]
    assert abs(placed[0] - late[0]) <= timeline.step / 2
    shown = all_shown(timeline, [*placed, timeline.end(placed[-1], late[-1] + Fraction(1, 30))])
    assert sum(each.t == 0 for each in shown[:-1]) == 60


def test_an_irregular_source_keeps_its_times_unless_a_rate_is_requested() -> None:
    uneven = SourceRate(Fraction(25), Fraction(0), False, Fraction(1, 200))
    assert isinstance(choose_timeline(uneven, Fraction(1, 600), RetimingOptions()), VariableRate)
    assert isinstance(
        choose_timeline(uneven, Fraction(1, 600), RetimingOptions(factor=3)), VariableRate
    )
    assert isinstance(
        choose_timeline(uneven, Fraction(1, 600), RetimingOptions(fps="60")), ConstantRate
    )
    assert isinstance(
        choose_timeline(uneven, Fraction(1, 600), RetimingOptions(), constant_rate_only=True),
        ConstantRate,
    )


def test_an_end_rounded_just_past_a_frame_adds_no_frame() -> None:
    timeline = ConstantRate(Fraction(240))
    last = Fraction(119, 120)
    assert timeline.end(last, Fraction(1001, 1000)) == 1
    assert timeline.end(last, Fraction(1)) == 1


@pytest.mark.parametrize("regular", [True, False])
def test_a_factor_of_two_and_a_half_gives_equal_steps(regular: bool) -> None:
    source = SourceRate(Fraction(24), Fraction(0), regular, Fraction(0))
    timeline = choose_timeline(source, Fraction(1, 24000), RetimingOptions(factor="2.5"))
    assert isinstance(timeline, ConstantRate)
    assert timeline.rate == 60
    shown = list(output_times(timeline, Fraction(0), Fraction(1, 24), None))
    assert [each.t for each in shown] == [0, Fraction(2, 5), Fraction(4, 5)]
    assert not any(each.error for each in shown)


def test_no_frame_is_shorter_than_the_minimum_step() -> None:
    hundredth = Fraction(1, 100)
    times = [place * hundredth for place in (0, 10, 14, 17, 19, 20)]
    timeline = VariableRate(3, Fraction(25), hundredth, min_step=2 * hundredth)
    found = [each.pts * timeline.time_base for each in all_shown(timeline, times)]
    steps = [
        round((after - before) / hundredth, 1) for before, after in pairwise([*found, times[-1]])
    ]
    assert set(times[:-1]) <= set(found)
    assert min(steps[:-1]) >= 2  # of the source's own steps the last one is shorter


def test_only_frames_within_the_snapping_limit_are_snapped() -> None:
    timeline = ConstantRate(
        Fraction(60), source_step=Fraction(1, 30), max_snap=Fraction(1, 240), anchor=Fraction(1, 10)
    )
    near, far = Fraction(2, 10) + Fraction(1, 300), Fraction(2, 10) + Fraction(1, 100)
    assert timeline.snap(near) == Fraction(2, 10)
    assert timeline.snap(far) == far


def test_the_exact_duration_of_the_last_frame_replaces_a_stated_one_nearby() -> None:
    last, exact = Fraction(1), Fraction(1, 40)
    timeline = ConstantRate(Fraction(1000), last_length=exact, tolerance=Fraction(1, 500))
    assert timeline.end(last, last + exact + Fraction(1, 600)) == last + exact
    assert timeline.end(last, last + exact - Fraction(1, 600)) == last + exact
    assert timeline.end(last, last + 2 * exact) == last + 2 * exact


def test_the_last_frame_lasts_half_a_step_at_least() -> None:
    assert ConstantRate(Fraction(60)).end(Fraction(1), Fraction(1)) == 1 + Fraction(1, 120)


@pytest.mark.parametrize(("fps", "frames"), [("5", 5), ("7.5", 8), ("10", 10), ("12", 12)])
def test_a_rate_below_that_of_the_source_adds_no_frame_at_the_end(fps: str, frames: int) -> None:
    source = SourceRate(Fraction(24), Fraction(0), True, Fraction(0))
    timeline = choose_timeline(source, Fraction(1, 12288), RetimingOptions(fps=fps))
    end = timeline.end(Fraction(23, 24), Fraction(1))
    assert len([*timeline.times(Fraction(0), end)]) == frames
    assert 1 <= end < 1 + timeline.step


def test_intervals_shorter_than_the_minimum_step_get_fewer_frames() -> None:
    timeline = VariableRate(
        3, Fraction(25), Fraction(1, 100), slow=Fraction(2), min_step=Fraction(1, 50)
    )
    counts = [len(list(timeline.times(Fraction(0), Fraction(n, 100)))) for n in (10, 3, 2, 1)]
    assert counts == [3, 3, 2, 1]


def test_at_a_given_rate_frames_of_a_regular_source_are_snapped_to_its_own_grid() -> None:
    for regular, step in ((True, Fraction(1, 25)), (False, None)):
        source = SourceRate(Fraction(25), Fraction(0), regular, Fraction(1, 200))
        timeline = choose_timeline(source, Fraction(1, 600), RetimingOptions(fps="60"))
        assert isinstance(timeline, ConstantRate)
        assert timeline.source_step == timeline.last_length == step
        assert timeline.tolerance == timeline.max_snap == Fraction(1, 200)


@pytest.mark.parametrize("rate", [Fraction(60), Fraction(24000, 1001), Fraction(10_000_019, 3)])
def test_the_time_base_divides_a_step_and_is_as_coarse_as_possible(rate: Fraction) -> None:
    ticks = 1 / ConstantRate(rate).time_base
    assert (ticks / rate).denominator == 1
    assert MIN_TICKS <= ticks < MIN_TICKS + rate.numerator


def test_a_remainder_adds_a_frame_only_if_it_exceeds_a_quarter_of_a_step() -> None:
    timeline, last = ConstantRate(Fraction(100), anchor=Fraction(1, 1000)), Fraction(991, 1000)
    quarter = Fraction(1001, 1000) + timeline.step / 4
    assert timeline.end(last, quarter) == Fraction(1001, 1000)
    assert timeline.end(last, quarter + timeline.step / 100) == Fraction(1011, 1000)


def test_frames_off_the_grid_are_not_snapped() -> None:
    time = Fraction(10, 299)
    assert ConstantRate(Fraction(60)).snap(time) == time
    assert ConstantRate(Fraction(60), source_step=Fraction(1, 30)).snap(time) == time
    variable = VariableRate(2, Fraction(25), Fraction(1, 600))
    assert (variable.snap(time), variable.end(time, 2 * time)) == (time, 2 * time)


def test_the_snapping_limit_and_the_tolerance_include_their_limits() -> None:
    limit = Fraction(1, 240)
    timeline = ConstantRate(
        Fraction(1000), source_step=Fraction(1, 30), max_snap=limit, last_length=Fraction(1, 30),
        tolerance=limit,
    )  # fmt: skip
    assert timeline.snap(limit) == 0
    assert timeline.end(Fraction(0), Fraction(1, 30) + limit) == Fraction(34, 1000)


def test_a_stated_duration_is_exact_without_a_tolerance() -> None:
    timeline = ConstantRate(Fraction(1000), last_length=Fraction(1, 25))
    assert timeline.end(Fraction(0), Fraction(1, 20)) == Fraction(1, 20)


@pytest.mark.parametrize(
    ("tick", "expected"), [((1, 90000), 90000), ((1, 25), 10_000), ((1, 30), 10_020)]
)
def test_a_variable_rate_subdivides_the_time_base_of_a_coarse_source(
    tick: tuple[int, int], expected: int
) -> None:
    timeline = VariableRate(1, Fraction(25), Fraction(*tick))
    assert 1 / timeline.time_base == expected


@pytest.mark.parametrize(
    ("rate", "slow", "expected"),
    [(60, 1, (120, 108)), (60, 2, (240, 226)), (12, 1, (24, 22)), (50, 1, (100, 49))],
)
def test_the_number_of_frames_of_a_result_is_estimated(
    rate: int, slow: int, expected: tuple[int, int]
) -> None:
    timeline = ConstantRate(Fraction(rate), Fraction(slow))
    assert estimate_frames(50, Fraction(25), timeline) == expected


@pytest.mark.parametrize(
    ("options", "rate", "slow", "on_grid"),
    [
        ({}, 50, 1, True), ({"slow": 4}, 25, 4, True), ({"slow": 2.5}, 25, Fraction(5, 2), False),
        ({"factor": "2.5"}, Fraction(125, 2), 1, False),
        ({"factor": "2.5", "slow": 2}, Fraction(125, 2), 2, True),
    ],
)  # fmt: skip
def test_frames_are_snapped_to_the_grid_of_the_result_if_it_contains_that_of_the_source(
    options: dict, rate: Fraction, slow: Fraction, on_grid: bool
) -> None:
    source = SourceRate(Fraction(25), Fraction(1, 7), True, Fraction(1, 500))
    step = 1 / Fraction(rate * slow)
    place, reach = (step, step / 2) if on_grid else (Fraction(1, 25), source.tolerance)
    assert choose_timeline(source, Fraction(1, 600), RetimingOptions(**options)) == ConstantRate(
        Fraction(rate), Fraction(slow), source.anchor, place, reach, Fraction(1, 25),
        source.tolerance,
    )  # fmt: skip


def test_the_grid_of_a_multiple_of_a_fractional_rate_contains_that_of_the_source() -> None:
    timeline = choose_timeline(REGULAR, Fraction(1, 24000), RetimingOptions())
    assert isinstance(timeline, ConstantRate)
    assert (timeline.source_step, timeline.max_snap) == (1 / NTSC / 2, 1 / NTSC / 4)


@pytest.mark.parametrize(
    ("options", "pieces", "slow"),
    [({}, 2, 1), ({"factor": 3}, 3, 1), ({"slow": 2.5}, 3, Fraction(5, 2)),
     ({"factor": 5, "slow": 2}, 5, 2)],
)  # fmt: skip
@pytest.mark.parametrize("limit", [{}, {"min_step": Fraction(1, 50)}])
def test_intervals_of_a_variable_rate_are_divided_by_the_factor_or_for_slow_motion(
    options: dict, pieces: int, slow: Fraction, limit: dict
) -> None:
    timeline = choose_timeline(
        REGULAR, Fraction(1, 600), RetimingOptions(vfr=True, **options), **limit
    )
    expected = VariableRate(pieces, NTSC, Fraction(1, 600), Fraction(slow))
    assert timeline == replace(expected, **limit)
