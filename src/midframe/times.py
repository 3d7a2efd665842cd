"""Times between two frames, and times of a video as people write them."""

import re
from fractions import Fraction
from numbers import Rational
from typing import Any

from midframe.errors import OptionError

Time = str | int | float | Fraction
"""A time of a video: seconds as 90 or "90.5", minutes and seconds as "1:30", or "0:01:30.5"."""
CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")

SNAP = Fraction(1, 32)
"""Fraction of the interval between two frames: at a time that is nearer to a frame than this, the
frame itself is shown."""


def nearest_time(time: float | Fraction, depth: int | None) -> Fraction:
    """Return the nearest time that a network supports.

    Args:
        time: from 0 (the first frame) to 1 (the second).
        depth: the result is a multiple of 1 / 2**depth; with None it is the time itself, or 0 or 1
            if these are nearer than `SNAP`.

    Raises:
        OptionError: the time lies outside [0, 1].
    """
    exact = _fraction(time)
    if exact is None or not 0 <= exact <= 1:
        raise OptionError(
            f"`time` is {time!r}: from 0 (the first frame) to 1 (the second) is needed"
        )
    if depth is None:
        nearest = Fraction(round(exact))
        return nearest if abs(nearest - exact) < SNAP else exact
    return Fraction(round(exact * 2**depth), 2**depth)


def _fraction(number: Any) -> Fraction | None:
    """Return a number, which may be a scalar of NumPy or PyTorch, as a fraction; None if it is not
    a finite one."""
    try:
        return Fraction(number if isinstance(number, Rational) else float(number))
    except (TypeError, ValueError, OverflowError):
        return None


def parse_seconds(time: Time, name: str = "time") -> float:
    """Convert a time to seconds, as the float nearest to the given digits.

    Args:
        time: seconds, m:s or h:m:s.
        name: of the option, for messages.

    Raises:
        OptionError: it is not a time, or its minutes or seconds reach 60 after a larger unit.

    Examples:
        >>> parse_seconds("1:30"), parse_seconds("0:01:40.5"), parse_seconds(90)
        (90.0, 100.5, 90.0)
    """
    if isinstance(time, int | float | Fraction):
        return float(time)
    match = CLOCK.fullmatch(time.strip())
    hours, minutes, seconds = match.groups() if match else (None, None, None)
    wrong = (hours and int(minutes or 0) >= 60) or (minutes and float(seconds or 0) >= 60)
    if seconds is None or wrong:
        raise OptionError(
            f"`{name}` is {time!r}: seconds, m:s or h:m:s are needed, as in 90, 1:30 or 0:01:30.5"
        )
    return float(Fraction(seconds) + 60 * int(minutes or 0) + 3600 * int(hours or 0))


def format_seconds(seconds: float) -> str:
    """Return a duration as h:mm:ss, rounded to whole seconds.

    Examples:
        >>> format_seconds(100.4)
        '0:01:40'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
