"""When frames are shown: exact integers in a time base, nothing here knows of pictures."""

from collections.abc import Iterator
from fractions import Fraction

FACTORS = (2, 4, 8)
"""The multiples of the frame rate that halving time reaches exactly."""


def finer_time_base(time_base: Fraction, factor: int) -> Fraction:
    """A time base in which every time between two pts, in `factor` equal parts, is a whole number."""
    return time_base / factor


def times_between(before: int, after: int, factor: int) -> Iterator[tuple[int, Fraction]]:
    """The frames to make between two source frames.

    Args:
        before, after: pts of the source frames in the source's time base.
        factor: parts that the time between them is cut into.

    Yields:
        For each part but the first: pts in the finer time base, and the time from 0 to 1 between the two frames.
    """
    for part in range(1, factor):
        yield before * factor + part * (after - before), Fraction(part, factor)


def held_times(last: int, duration: int, factor: int) -> Iterator[int]:
    """Pts in the finer time base at which the last frame is shown again, so that the picture keeps its length."""
    for part in range(1, factor):
        yield last * factor + part * duration
