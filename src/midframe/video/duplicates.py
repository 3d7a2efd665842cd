"""Duplicate frames: animation on twos, films converted to a higher frame rate.

They are dropped, and replaced by interpolated frames. The duration does not change. The remaining
frames keep their times, except where these result from repeating frames of equal steps, as in films
converted from 24 to 30 frames per second: there the equal steps are restored.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from midframe.media.colour.conversion import grey
from midframe.media.pictures.duplicates import is_duplicate
from midframe.media.pictures.picture import Array
from midframe.media.reading.source import Frame

MAX_DUPLICATES = 4
"""A frame with more duplicates is a still image: all of them are kept."""
ROW = 12
"""Number of consecutive distinct frames (a row) in which the original equal steps are detected."""
MIN_OCCURRENCES = 2
"""Minimum number of shorter and of longer steps in a row of originally equal steps. A single one
may be accidental."""


def drop_duplicates(frames: Iterable[Frame], step: int) -> Iterator[Frame]:
    """Drop the frames that duplicate their predecessor.

    Args:
        frames: of a video, in presentation order.
        step: usual frame duration, in their time base.
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
    """Yield the frames that are kept, and whether each continues a row, which cuts and still images
    end."""
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
        first = frame
        seen = shown
        held = []
        still = False
    if first and not still:
        yield first, in_row
    yield from ((each, False) for each in held)  # the last frame is shown to the end of the video


def _evenly(row: list[Frame], step: int) -> list[Frame]:
    """Return a row with equal steps if its times result from repeated frames, otherwise the row
    itself."""
    gaps = Counter(round((after.pts - before.pts) / step) for before, after in pairwise(row))
    if len(gaps) != 2 or min(gaps.values()) < MIN_OCCURRENCES:
        return row
    begin, each = Fraction(row[0].pts), Fraction(row[-1].pts - row[0].pts, len(row) - 1)
    even = [begin + each * place for place in range(len(row))]
    if any(abs(frame.pts - time) >= step for frame, time in zip(row, even, strict=True)):
        return row
    return [replace(frame, pts=time) for frame, time in zip(row, even, strict=True)]
