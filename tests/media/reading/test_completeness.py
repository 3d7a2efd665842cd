"""Frames that decoders drop silently."""

from fractions import Fraction
from pathlib import Path

import pytest

from midframe.media.reading.completeness import check_frames
from midframe.media.reading.damage import Damage
from midframe.media.reading.survey import Epoch, Survey

RATE, TICK = Fraction(24), Fraction(1, 12288)
TIMES = tuple(Fraction(number, 24) for number in range(40))
FIRST_TWO = "the first 2 frames cannot be decoded (no key frame before them) at 0.00 s"


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
