"""Times between two frames, from 0 (the first) to 1 (the second)."""

from fractions import Fraction

from midframe.errors import OptionError

SNAP = Fraction(1, 32)
"""At times nearer to a frame than this, in intervals between two frames, the frame itself is
shown."""


def nearest_time(time: float | Fraction, depth: int | None) -> Fraction:
    """The multiple of 1 / 2**depth nearest to a time from 0 to 1; without a depth, the time itself
    or a near end."""
    if not 0 <= time <= 1:
        raise OptionError(f"time is {time}: from 0 (the first frame) to 1 (the second) is needed")
    if depth is None:
        nearest = Fraction(round(time))
        return nearest if abs(nearest - Fraction(time)) < SNAP else Fraction(time)
    return Fraction(round(Fraction(time) * 2**depth), 2**depth)
