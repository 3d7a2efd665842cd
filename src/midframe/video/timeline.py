"""Times of frames: exact rationals, in seconds.

A frame of the result shows a moment of the source. A timeline chooses the moments: at equal steps
(`ConstantRate`), or where the source's own frames lie and between them (`TrueTimes`).
`shown_between` gives, for two neighbouring source frames, what is to be shown from the first up to
the second. It depends only on these two and on one anchor, so errors do not accumulate over a film.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any, Protocol

from midframe.media.reading.frame_rate import SourceRate
from midframe.options import RetimingOptions
from midframe.rates import parse_factor, parse_rate
from midframe.times import nearest_time

END_SLACK = Fraction(1, 4)
"""Steps by which the source may end after a place of the grid without another frame of the
result."""
MIN_TICKS = 10_000
"""Minimum ticks per second of a time base, which bound the rounding of the start of a film."""


@dataclass(frozen=True)
class Shown:
    """A frame of the result."""

    pts: int
    """Time at which it is shown, in the timeline's time base."""
    t: Fraction
    """Time of its content, from 0 (the source frame before it) to 1 (the one after it), as the
    network supports it."""
    error: Fraction
    """Difference between the time of its content and the ideal one, in seconds of the result."""


class Timeline(Protocol):
    """The times of a result."""

    @property
    def slow(self) -> Fraction:
        """How many times longer than the source the result is."""

    @property
    def rate(self) -> Fraction:
        """Mean frames per second of the result."""

    @property
    def time_base(self) -> Fraction:
        """Seconds of a tick of the result's pts."""

    def place(self, time: Fraction) -> Fraction:
        """Return the time that a source frame is moved to: the grid, if it is near a place of
        it."""

    def end(self, last: Fraction, end: Fraction) -> Fraction:
        """When the result ends, in the time of the source.

        Args:
            last: time to which its last frame is moved.
            end: of the source's last frame.
        """

    def times(self, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """The moments of the source to show, from one source frame up to the next, which does not
        count.

        Args:
            before, after: where two neighbouring source frames are placed.
        """


@dataclass(frozen=True)
class ConstantRate:
    """Frames at equal steps."""

    rate: Fraction
    slow: Fraction = Fraction(1)
    anchor: Fraction = Fraction(0)
    """A moment of the source that is shown."""
    source_step: Fraction | None = None
    """Seconds between the places on which source frames are moved; None leaves them where they
    are."""
    reach: Fraction = Fraction(0)
    """Seconds by which a source frame is moved at most."""
    last_length: Fraction | None = None
    """Seconds for which the last frame of a regular source is shown, if its end is near that; None
    if it is not."""
    tolerance: Fraction = Fraction(0)
    """Precision of the source's times in seconds."""

    @property
    def step(self) -> Fraction:
        """Seconds of the source between two frames of the result."""
        return 1 / (self.rate * self.slow)

    @property
    def time_base(self) -> Fraction:
        return 1 / (self.rate.numerator * Fraction(ceil(MIN_TICKS / self.rate.numerator)))

    def place(self, time: Fraction) -> Fraction:
        """See `Timeline`."""
        if self.source_step is None:
            return time
        placed = self.anchor + round((time - self.anchor) / self.source_step) * self.source_step
        return placed if abs(placed - time) <= self.reach else time

    def end(self, last: Fraction, end: Fraction) -> Fraction:
        """See `Timeline`; a frame that would begin just before the end is not shown."""
        if self.last_length and abs(last + self.last_length - end) <= self.tolerance:
            end = last + self.last_length
        slots = ceil((end - self.anchor) / self.step - END_SLACK)
        return max(self.anchor + slots * self.step, last + self.step / 2)

    def times(self, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """See `Timeline`."""
        number = ceil((before - self.anchor) / self.step)
        while (time := self.anchor + number * self.step) < after:
            yield time
            number += 1


@dataclass(frozen=True)
class TrueTimes:
    """The source's own frames at their own times, and between two of them `factor` - 1 more."""

    factor: int
    source_rate: Fraction
    source_time_base: Fraction
    slow: Fraction = Fraction(1)
    min_step: Fraction = Fraction(0)
    """Seconds of the result below which nothing is shown between two source frames."""

    @property
    def rate(self) -> Fraction:
        return self.source_rate * self.factor / self.slow

    @property
    def time_base(self) -> Fraction:
        return (
            self.source_time_base
            * self.slow
            / (self.factor * max(1, ceil(self.source_time_base * MIN_TICKS)))
        )

    def place(self, time: Fraction) -> Fraction:
        """See `Timeline`."""
        return time

    def end(self, last: Fraction, end: Fraction) -> Fraction:
        """See `Timeline`."""
        return end

    def times(self, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """See `Timeline`."""
        length, count = after - before, self.factor
        if self.min_step:
            count = min(count, max(1, floor(length * self.slow / self.min_step)))
        return (before + length * part / count for part in range(count))


def shown_between(
    timeline: Timeline, before: Fraction, after: Fraction, depth: int | None
) -> Iterator[Shown]:
    """Return the frames of the result from one source frame up to the next.

    Args:
        timeline: of the result.
        before, after: where two neighbouring source frames are placed, in seconds; after the last,
            the end of the film.
        depth: how often the network can halve the time between two frames; None if it makes any
            time.
    """
    for time in timeline.times(before, after):
        t = (time - before) / (after - before)
        nearest = nearest_time(t, depth)
        error = abs(nearest - t) * (after - before) * timeline.slow
        yield Shown(round(time * timeline.slow / timeline.time_base), nearest, error)


def choose_timeline(
    source: SourceRate,
    source_time_base: Fraction,
    options: RetimingOptions,
    *,
    constant: bool = False,
    min_step: Fraction = Fraction(0),
) -> Timeline:
    """Choose when frames are shown.

    A constant rate that misses source frames is chosen only with `fps` (or a `slow` or `factor`
    that is no whole number): the frames of a source that is regular are moved onto the grid of the
    result, by an eighth of a step at most but for one in a hundred; a source that is not keeps its
    own times.

    Args:
        source: frame rate of the source, and whether its frames keep to it.
        source_time_base: of its pts.
        options: factor, fps, slow and vfr; `slow` alone leaves the rate as it is.
        constant: the target can only hold equal steps.
        min_step: as in `TrueTimes`.
    """
    factor = None if options.factor is None else parse_factor(options.factor)
    slow = Fraction(options.slow or 1)
    even = isinstance(factor, Fraction)  # the times between two source frames differ
    if options.vfr or not (source.regular or options.fps is not None or constant or even):
        assert not isinstance(factor, Fraction), "RetimingOptions refuses it"
        pieces = factor or (2 if options.slow is None else ceil(slow))
        return TrueTimes(pieces, source.rate, source_time_base, slow, min_step)
    period = 1 / source.rate if source.regular else None
    ending: dict[str, Any] = {"last_length": period, "tolerance": source.tolerance}
    if options.fps is not None:
        return ConstantRate(
            parse_rate(options.fps), slow, source.anchor, period, source.tolerance, **ending
        )
    rate = source.rate * (factor or (2 if options.slow is None else 1))
    step = 1 / (rate * slow)
    if (
        rate * slow / source.rate
    ).denominator == 1:  # every place of the source's grid is one of the result's
        return ConstantRate(rate, slow, source.anchor, step, step / 2, **ending)
    return ConstantRate(rate, slow, source.anchor, period, source.tolerance, **ending)
