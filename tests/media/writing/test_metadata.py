"""Metadata and chapters of results."""

from fractions import Fraction
from typing import Any

import pytest

from midframe.media.reading.survey import Span
from midframe.media.writing.metadata import convert_chapters

TICK = Fraction(1, 1000)


def chapter(begin: int, end: int) -> dict[str, Any]:
    return {"id": 1, "start": begin, "end": end, "time_base": TICK, "metadata": {}}


@pytest.mark.parametrize(
    ("source", "span", "edges"),
    [
        ((0, 0), None, (0, 0)),
        ((2000, 2000), None, (2000, 2000)),
        ((3000, 1000), None, (3000, 3000)),
        ((-500, 700), None, (0, 700)),
        ((-500, 0), None, None),
        ((10**15, 10**15 + 1), None, None),
        ((1500, 9000), (1, 3), (500, 2000)),
        ((1000, 1000), (1, 3), (0, 0)),
        ((3000, 3000), (1, 3), None),
        ((0, 1000), (1, 3), None),
    ],
)
def test_chapters_within_the_result_are_kept_even_if_they_have_no_length(
    source: tuple[int, int], span: tuple[int, int] | None, edges: tuple[int, int] | None
) -> None:
    shown = Span(Fraction(span[0]), Fraction(span[1])) if span else None
    found = convert_chapters([chapter(*source)], Fraction(0), shown, Fraction(1))
    assert [(each["start"], each["end"]) for each in found] == ([edges] if edges else [])
