"""Parsing of frame rates."""

from fractions import Fraction

from midframe.errors import OptionError

Rate = str | int | float | Fraction
"""Frames per second: 60, "60", "60000/1001", or "59.94" for 60000/1001."""
COMMON_RATES = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)) + tuple(
    Fraction(n) for n in (10, 12, 15, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)
)
"""Common frame rates of cameras, films and screens, in frames per second."""
MAX_RATE = 1000
"""Frames per second."""


def parse_rate(rate: Rate, name: str = "fps") -> Fraction:
    """Return the exact frame rate; "59.94" is read as 60000/1001, "23.976" as 24000/1001.

    Args:
        rate: frames per second.
        name: of the option, for messages.

    Raises:
        OptionError: it is not a number, or not above 0 and up to `MAX_RATE`.
    """
    try:
        exact = Fraction(rate if isinstance(rate, Fraction) else str(rate))
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(
            f"`{name}` is {rate!r}: a number is needed, as in 60, 59.94 or 60000/1001"
        ) from error
    if not 0 < exact <= MAX_RATE:
        raise OptionError(f"`{name}` is {rate}: a number above 0 and up to {MAX_RATE} is needed")
    if "." not in str(rate):
        return exact
    return next(
        (common for common in COMMON_RATES if abs(common - exact) < Fraction(1, 200)), exact
    )


def parse_factor(factor: Rate, name: str = "factor") -> int | Fraction:
    """Return the exact multiple of a frame rate: a whole number, a decimal one or a fraction.

    Args:
        factor: 1 or more.
        name: of the option, for messages.

    Raises:
        OptionError: it is not a number, or below 1.

    Examples:
        >>> parse_factor("2.5"), parse_factor("2")
        (Fraction(5, 2), 2)
    """
    try:
        exact = Fraction(factor if isinstance(factor, Fraction) else str(factor))
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(
            f"`{name}` is {factor!r}: a number is needed, as in 2, 2.5 or 5/2"
        ) from error
    if exact < 1:
        raise OptionError(f"`{name}` is {factor}: a number from 1 is needed")
    return exact.numerator if exact.denominator == 1 else exact
