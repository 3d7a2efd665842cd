"""When frames are shown: exact rationals, in seconds; nothing here knows of pictures.

A frame of the result shows a moment of the source. A timeline says which moments: at equal steps (`ConstantRate`), or
where the source's own frames lie and between them (`TrueTimes`). `shown_between` gives, for two neighbouring source
frames, what is to be shown from the first up to the second. It depends on these two and on the time of the very first
frame alone, so nothing adds up over the length of a film.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Protocol

from midframe.interpolator import nearest_time

FINEST_TICK = 10_000
"""A time base has at least so many ticks a second, so that the start of a film is rounded to less than that."""
COMMON_RATES = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)) + tuple(
    Fraction(n) for n in (10, 12, 15, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)
)
"""Frames a second that cameras, films and screens have."""
SURE_STEPS = 10
"""So many steps of one length are no chance of rounding."""
CLOSE_RATE = Fraction(2, 100)
"""Frames that come unevenly are taken for one of the common rates if that is no further from theirs."""


@dataclass(frozen=True)
class Shown:
    """A frame of the result."""

    pts: int
    """When it is shown, in the timeline's time base."""
    share: Fraction
    """What it shows, from 0 (the source frame before it) to 1 (the one after it), as the network can make it."""
    error: Fraction
    """Seconds between what it shows and what it should, in the time of the result."""


class Timeline(Protocol):
    """The times of a result."""

    @property
    def slow(self) -> Fraction:
        """How many times longer than the source the result is."""

    @property
    def rate(self) -> Fraction:
        """Frames a second of the result, in the mean."""

    @property
    def time_base(self) -> Fraction:
        """Seconds of a tick of the result's pts."""

    def times(self, origin: Fraction, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """The moments of the source to show, from one source frame up to the next, which does not count.

        Args:
            origin: time of the source's first frame.
            before, after: times of two neighbouring ones.
        """


@dataclass(frozen=True)
class ConstantRate:
    """Frames at equal steps, the first of them the source's first."""

    rate: Fraction
    slow: Fraction = Fraction(1)

    @property
    def time_base(self) -> Fraction:
        return 1 / (self.rate.numerator * Fraction(ceil(FINEST_TICK / self.rate.numerator)))

    def times(self, origin: Fraction, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """See `Timeline`."""
        step = 1 / (self.rate * self.slow)
        number = ceil((before - origin) / step)
        while (time := origin + number * step) < after:
            yield time
            number += 1


@dataclass(frozen=True)
class TrueTimes:
    """The source's own frames at their own times, and between two of them `factor` - 1 more."""

    factor: int
    source_rate: Fraction
    source_time_base: Fraction
    slow: Fraction = Fraction(1)

    @property
    def rate(self) -> Fraction:
        return self.source_rate * self.factor / self.slow

    @property
    def time_base(self) -> Fraction:
        return self.source_time_base * self.slow / self.factor

    def times(self, origin: Fraction, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """See `Timeline`."""
        return (before + (after - before) * part / self.factor for part in range(self.factor))


def shown_between(
    timeline: Timeline, origin: Fraction, before: Fraction, after: Fraction, depth: int | None
) -> Iterator[Shown]:
    """What is shown from one source frame up to the next.

    Args:
        timeline: of the result.
        origin: time of the source's first frame, in seconds.
        before, after: times of two neighbouring ones. After the last frame, the end of the film.
        depth: how often the network can halve the time between two frames; None if it makes any time.
    """
    for time in timeline.times(origin, before, after):
        share = (time - before) / (after - before)
        nearest = nearest_time(share, depth)
        error = abs(nearest - share) * (after - before) * timeline.slow
        yield Shown(round(time * timeline.slow / timeline.time_base), nearest, error)


def choose_timeline(
    source_rate: Fraction,
    source_time_base: Fraction,
    *,
    factor: int | None = None,
    fps: str | Fraction | None = None,
    slow: float | Fraction | None = None,
    true_times: bool = False,
) -> Timeline:
    """The timeline that a person asks for.

    Args:
        source_rate: frames a second of the source.
        source_time_base: of its pts.
        factor: multiple of the source's rate.
        fps: frames a second of the result, instead. `parse_rate` says what texts may be.
        slow: how many times longer the result is. Alone it leaves the rate as it is.
        true_times: frames lie between the source's own, not at equal steps.

    Raises:
        ValueError: both a factor and a rate, a rate for true times, or a number that is too small.
    """
    if factor is not None and fps is not None:
        raise ValueError(f"factor is {factor} and fps {fps}: one of them can be chosen")
    if factor is not None and factor < 1:
        raise ValueError(f"factor is {factor}: a whole number from 1 is needed")
    if slow is not None and not 1 <= slow <= 1000:
        raise ValueError(f"slow is {slow}: from 1 to 1000 times is possible")
    if true_times and fps is not None:
        raise ValueError(f"fps is {fps} and vfr is wanted: a variable rate is chosen by its factor")
    longer = Fraction(1) if slow is None else Fraction(str(slow))
    if true_times:
        return TrueTimes(factor or (2 if slow is None else ceil(longer)), source_rate, source_time_base, longer)
    rate = parse_rate(fps) if fps is not None else source_rate * (factor or (2 if slow is None else 1))
    return ConstantRate(rate, longer)


def parse_rate(text: str | int | float | Fraction) -> Fraction:
    """Frames a second from "60", "60000/1001", or "59.94", which stands for 60000/1001, as 23.976 for 24000/1001."""
    try:
        rate = Fraction(text if isinstance(text, Fraction) else str(text))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"fps is {text!r}: a number is needed, as in 60, 59.94 or 60000/1001") from error
    if not 0 < rate <= 1000:
        raise ValueError(f"fps is {text}: above 0 and up to 1000 is possible")
    if "." not in str(text):
        return rate
    return next((common for common in COMMON_RATES if abs(common - rate) < Fraction(1, 200)), rate)


def source_rate(times: Sequence[Fraction], tick: Fraction, stated: Sequence[Fraction]) -> Fraction:
    """The frame rate that a source mostly has.

    Where its frames come evenly, that is the rate which they keep to: of equal steps their own, of steps that a tick
    rounds a common one, the one that the file states first. Where they come unevenly, a common rate near their middle
    step.

    Args:
        times: of its first frames, in seconds, in order.
        tick: how finely they are given.
        stated: rates that the file itself states.
    """
    steps = [after - before for before, after in pairwise(times) if after > before]
    if not steps:
        return next(iter(stated), Fraction(25))
    middle = Fraction(median(steps))
    begin, end = _even_run(times, middle, tick)
    length, count = times[end] - times[begin], end - begin
    if count * 2 <= len(steps):
        near = min(COMMON_RATES, key=lambda rate: abs(rate * middle - 1))
        return near if abs(near * middle - 1) <= CLOSE_RATE else 1 / middle
    if count >= SURE_STEPS and len({after - before for before, after in pairwise(times[begin : end + 1])}) == 1:
        return 1 / middle
    usual = [rate for rate in stated if rate in COMMON_RATES]
    fits = [rate for rate in (*usual, *COMMON_RATES, *stated) if abs(length - count / rate) <= tick]
    return fits[0] if fits else count / length


def _even_run(times: Sequence[Fraction], step: Fraction, tick: Fraction) -> tuple[int, int]:
    """The longest row of times, first and last, whose steps differ from one by a tick at most."""
    longest, begin = (0, 0), 0
    for place, (before, after) in enumerate(pairwise(times)):
        if abs(after - before - step) > tick:
            begin = place + 1
        elif place + 1 - begin > longest[1] - longest[0]:
            longest = (begin, place + 1)
    return longest
