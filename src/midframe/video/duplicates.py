"""Frames that duplicate the one before them: animation drawn on twos, films shown faster than they
were taken.

They are taken out, so that what was one picture for several frames becomes motion. The length of
the film stays. The frames that are left keep their times; where these follow from even steps by
repeating, as in films brought from 24 to 30 frames a second, they get back their even steps.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from midframe.media.colour.conversion import grey
from midframe.media.pictures.decoding import Array
from midframe.media.pictures.repeats import is_duplicate
from midframe.media.reading.source import Frame

MAX_DUPLICATES = 4
"""A picture that is repeated more often stands still on purpose: all its frames stay."""
ROW = 12
"""So many pictures in a row tell whether they came at even steps before some were repeated."""
MIN_OCCURRENCES = 2
"""Shorter and longer steps of even ones both come so often in a row at least. One alone is an
accident, or a change."""


def without_duplicates(frames: Iterable[Frame], step: int) -> Iterator[Frame]:
    """Drop the frames that duplicate their predecessor.

    Args:
        frames: of a video, in the order of showing.
        step: time between two of them, in their time base.
    """
    row: list[Frame] = []
    for frame, in_row in _distinct(frames):
        if not in_row:
            yield from _evenly(row, step)
            row = []
        row.append(frame)
        if len(row) == ROW:
            even = _evenly(row, step)
            ready = ROW - 1 if even is not row else 1
            yield from even[:ready]
            row = row[ready:]
    yield from _evenly(row, step)


def _distinct(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """The frames that stay, and whether each follows the one before it in a row: not after a cut or
    a still."""
    first: Frame | None = None
    held: list[Frame] = []
    seen: Array | None = None
    in_row = still = False
    for frame in frames:
        shown = grey(frame.picture)
        if first and seen is not None and not frame.begins_scene and is_duplicate(seen, shown):
            held.append(frame)
            if still or len(held) > MAX_DUPLICATES:
                yield from ((each, False) for each in ([] if still else [first]) + held)
                held, still = [], True
            continue
        if first and not still:
            yield first, in_row
        in_row = first is not None and not still and not frame.begins_scene
        first, seen, held, still = frame, shown, [], False
    if first and not still:
        yield first, in_row
    yield from ((each, False) for each in held)  # the last picture is shown to the end of the film


def _evenly(row: list[Frame], step: int) -> list[Frame]:
    """A row at even steps from its first to its last, if repeating brought it from there; else the
    row itself."""
    gaps = Counter(round((after.pts - before.pts) / step) for before, after in pairwise(row))
    if len(gaps) != 2 or min(gaps.values()) < MIN_OCCURRENCES:
        return row
    begin, each = Fraction(row[0].pts), Fraction(row[-1].pts - row[0].pts, len(row) - 1)
    even = [begin + each * place for place in range(len(row))]
    if any(abs(frame.pts - time) >= step for frame, time in zip(row, even, strict=True)):
        return row
    return [replace(frame, pts=time) for frame, time in zip(row, even, strict=True)]
