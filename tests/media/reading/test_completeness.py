"""Frames that decoders drop silently."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from midframe.media.reading.completeness import check_end, check_frames
from midframe.media.reading.damage import Damage
from midframe.media.reading.survey import Epoch, Survey

RATE, TICK = Fraction(24), Fraction(1, 12288)
TIMES = tuple(Fraction(number, 24) for number in range(40))
FIRST_TWO = "the first 2 frames cannot be decoded (no key frame precedes) at 0.00 s"


@pytest.mark.parametrize(
    ("shown", "places"),
    [
        (TIMES, ()),
        (TIMES[2:], (FIRST_TWO,)),
        ((*TIMES[2:20], *TIMES[21:]), (FIRST_TWO, "a frame cannot be decoded at 0.83 s")),
        ((TIMES[1], TIMES[1] + TICK, *TIMES[2:]), ()),
    ],
    ids=["all", "no key frame before them", "and one later", "all, in another order"],
)
def test_missing_frames_are_reported(shown: list[Fraction], places: tuple[str, ...]) -> None:
    damage = Damage(Path("in.mp4"))
    survey = Survey(TIMES, TIMES[-1] + 1 / RATE, Fraction(0), {}, (Epoch(),), {})
    check_frames(damage, survey, shown, TICK, RATE)
    assert damage.places == places


@pytest.mark.parametrize(
    ("ticks", "places"),
    [
        (12288, ()),
        (12288 * 9, ("the video stream ends 7.3 s before the end that the file states at 1.67 s",)),
        (2**32 - 1, ()),
        (2**32 + 20000, ()),
    ],
)
def test_an_unknown_end_is_not_reported_as_missing(ticks: int, places: tuple[str, ...]) -> None:
    damage, end = Damage(Path("in.mp4")), TIMES[-1] + 1 / RATE
    survey = Survey(TIMES, end, Fraction(0), {}, (Epoch(),), {})
    stream = SimpleNamespace(
        duration=ticks,
        start_time=0,
        time_base=TICK,
        metadata={},
        container=SimpleNamespace(
            format=SimpleNamespace(name="mov,mp4"), duration=None, streams=(None, None)
        ),
    )
    check_end(damage, survey, stream, end, RATE)
    assert damage.places == places
