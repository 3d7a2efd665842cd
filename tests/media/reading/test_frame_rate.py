from fractions import Fraction

import pytest

from midframe.media.reading.frame_rate import measure_rate, most_common_rate

NTSC = Fraction(24000, 1001)


def rounded(rate: Fraction, tick: Fraction, count: int = 250) -> list[Fraction]:
    return [round(n / rate / tick) * tick for n in range(count)]


MILLISECOND = Fraction(1, 1000)


@pytest.mark.parametrize(
    ("times", "tick", "stated", "rate"),
    [
        (rounded(NTSC, Fraction(1, 24000)), Fraction(1, 24000), [], NTSC),
        (rounded(NTSC, MILLISECOND), MILLISECOND, [Fraction(24)], NTSC),
        (rounded(Fraction(24), MILLISECOND), MILLISECOND, [], 24),
        (rounded(Fraction(17), Fraction(1, 17)), Fraction(1, 17), [], 17),
        (
            rounded(NTSC, Fraction(1, 24000))[:200] + [Fraction(10 + n, 24) for n in range(20)],
            Fraction(1, 24000),
            [Fraction(2309, 100)],
            NTSC,
        ),
        (
            [Fraction(n * 40000 + n * 7919 % 400, 10**6) for n in range(200)],
            Fraction(1, 90000),
            [Fraction(24)],
            25,
        ),
        ([Fraction(n, 30) for n in range(50)], Fraction(1, 600), [Fraction(55200, 1841)], 30),
        ([Fraction(3)], MILLISECOND, [Fraction(12)], 12),
        ([], MILLISECOND, [], 25),
    ],
)
def test_the_rate_of_a_source_is_found_from_its_frame_times(
    times: list[Fraction], tick: Fraction, stated: list[Fraction], rate: Fraction
) -> None:
    assert most_common_rate(times, tick, stated) == rate


CENTISECOND = Fraction(1, 100)


@pytest.mark.parametrize(
    ("rate", "tick"),
    [
        (Fraction(120), MILLISECOND), (Fraction(144), MILLISECOND), (Fraction(240), MILLISECOND),
        (Fraction(60000, 1001), MILLISECOND), (Fraction(15), CENTISECOND),
        (Fraction(24), CENTISECOND),
        (Fraction(30), CENTISECOND), (Fraction(2980831, 100000), Fraction(1, 90000)),
        (Fraction(25), Fraction(1, 25)),
    ],
)  # fmt: skip
def test_equal_steps_are_regular_in_any_time_base(rate: Fraction, tick: Fraction) -> None:
    times = rounded(rate, tick, 120)
    found = measure_rate(times, tick, [rate])
    assert found.regular
    assert abs(found.rate / rate - 1) < Fraction(1, 10**5)


@pytest.mark.parametrize("rate", [15, 24, 30])
def test_gifs_have_an_integer_rate_even_if_they_state_an_ntsc_rate(rate: int) -> None:
    times = rounded(Fraction(rate), CENTISECOND, 24)
    assert (
        measure_rate(times, CENTISECOND, [Fraction(rate * 1000, 1001), Fraction(100, 3)]).rate
        == rate
    )


def test_a_late_first_frame_does_not_shift_the_grid() -> None:
    times = [Fraction(0), *(Fraction(n, 30) + Fraction(11, 600) for n in range(1, 60))]
    found = measure_rate(times, Fraction(1, 90000), [Fraction(30)])
    assert found.regular
    assert (found.anchor - times[1]) * 30 % 1 == 0


def test_dropped_frames_leave_a_source_regular() -> None:
    times = [Fraction(n, 25) for n in range(200) if n % 20 != 7]
    assert measure_rate(times, Fraction(1, 25), [Fraction(25)]).regular


@pytest.mark.parametrize(
    "times",
    [
        [Fraction(n, 24) for n in range(100)]
        + [Fraction(100, 24) + Fraction(n, 30) for n in range(100)],
        [Fraction(n, 25) for n in range(25)] + [Fraction(660 * 25 + n, 25) for n in range(25)],
        [Fraction(n - n // 10, 25) for n in range(200)],
        [Fraction(n * 40 + n * 7919 % 17, 1000) for n in range(200)],
        [Fraction(n, 100) for n in (0, 40, 48, 80)],
    ],
    ids=[
        "the rate changes later",
        "a slide stands for eleven minutes",
        "frames share times",
        "jitter",
        "one of four frames is off the grid",
    ],
)
def test_sources_without_one_grid_are_not_regular(times: list[Fraction]) -> None:
    assert not measure_rate(times, Fraction(1, 90000), [Fraction(25)]).regular


def test_a_short_source_with_dropped_frames_has_the_rate_of_its_grid() -> None:
    kept = [time for n, time in enumerate(rounded(Fraction(60), MILLISECOND, 90)) if n % 5 < 4]
    found = measure_rate(
        [time for n, time in enumerate(kept) if n % 7], MILLISECOND, [Fraction(60)]
    )
    assert (found.rate, found.regular) == (60, True)
