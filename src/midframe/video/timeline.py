"""Times of frames: exact fractions, in seconds.

Each frame of the result shows the source at some time. A timeline chooses these times: at equal
steps (`ConstantRate`), or at the times of the source frames and between them (`VariableRate`).
`output_times` returns the times from one source frame up to the next. They depend only on these two
frames and an anchor, so errors do not accumulate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any, Protocol

from midframe.media.reading.frame_rate import SourceRate
from midframe.options import DEFAULT_FACTOR, RetimingOptions
from midframe.rates import parse_factor, parse_rate
from midframe.times import SNAP, nearest_time

END_SLACK = Fraction(1, 4)
"""Steps by which the source may extend beyond a grid point without another frame of the result."""
MIN_TICKS = 10_000
"""Minimum ticks per second of a time base, to limit the rounding of the start time."""


@dataclass(frozen=True)
class OutputTime:
    """The time of a frame of the result, and of its content."""

    pts: int
    """In the timeline's time base."""
    t: Fraction
    """Time of its content, from 0 (the source frame before it) to 1 (the one after it), rounded to
    a time that the network supports."""
    error: Fraction
    """Difference between the time of its content and the ideal one, in seconds of the result."""


class Timeline(Protocol):
    """The times of a result."""

    @property
    def slow(self) -> Fraction:
        """Factor of slow motion."""

    @property
    def rate(self) -> Fraction:
        """Average frames per second of the result."""

    @property
    def time_base(self) -> Fraction:
        """Of the result's pts."""

    def snap(self, time: Fraction) -> Fraction:
        """Return the time of a source frame on the timeline: the nearest grid point if it is close,
        otherwise its own time."""

    def end(self, last: Fraction, end: Fraction) -> Fraction:
        """Return the end of the result, in seconds of the source.

        Args:
            last: snapped time of the last source frame.
            end: end of that frame in the source.
        """

    def times(self, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """Yield the times to show, in seconds of the source, in the interval [before, after).

        Args:
            before, after: snapped times of two successive source frames.
        """


@dataclass(frozen=True)
class ConstantRate:
    """Frames at equal steps."""

    rate: Fraction
    slow: Fraction = Fraction(1)
    anchor: Fraction = Fraction(0)
    """A time of the source that is shown: a grid point."""
    source_step: Fraction | None = None
    """Seconds between the grid points to which source frames are snapped; None to snap none."""
    max_snap: Fraction = Fraction(0)
    """Maximum distance in seconds by which a source frame is snapped."""
    last_length: Fraction | None = None
    """Exact duration of the last frame of a regular source, in seconds, which replaces a stated one
    within `tolerance`; None for irregular sources."""
    tolerance: Fraction = Fraction(0)
    """Precision of the source's times, in seconds."""

    @property
    def step(self) -> Fraction:
        """Seconds of the source between two frames of the result."""
        return 1 / (self.rate * self.slow)

    @property
    def time_base(self) -> Fraction:
        ticks_per_second = self.rate.numerator * ceil(MIN_TICKS / self.rate.numerator)
        return Fraction(1, ticks_per_second)

    def snap(self, time: Fraction) -> Fraction:
        """See `Timeline`."""
        if self.source_step is None:
            return time
        snapped = self.anchor + round((time - self.anchor) / self.source_step) * self.source_step
        return snapped if abs(snapped - time) <= self.max_snap else time

    def end(self, last: Fraction, end: Fraction) -> Fraction:
        """See `Timeline`; a frame that would begin just before the end is not shown."""
        if self.last_length and abs(last + self.last_length - end) <= self.tolerance:
            end = last + self.last_length
        steps = Fraction(ceil((end - self.anchor) / self.step - END_SLACK))
        last_step = floor((last - self.anchor) / self.step)  # may be beyond the stated end
        return self.anchor + max(steps, last_step + Fraction(1, 2)) * self.step

    def times(self, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """See `Timeline`."""
        number = ceil((before - self.anchor) / self.step)
        while (time := self.anchor + number * self.step) < after:
            yield time
            number += 1


@dataclass(frozen=True)
class VariableRate:
    """All source frames at their own times, and `factor` - 1 frames between two of them."""

    factor: int
    source_rate: Fraction
    source_time_base: Fraction
    slow: Fraction = Fraction(1)
    min_step: Fraction = Fraction(0)
    """Minimum seconds of the result between two frames; shorter intervals get fewer frames."""

    @property
    def rate(self) -> Fraction:
        return self.source_rate * self.factor / self.slow

    @property
    def time_base(self) -> Fraction:
        ticks = self.factor * ceil(self.source_time_base * MIN_TICKS)
        return self.source_time_base * self.slow / ticks

    def snap(self, time: Fraction) -> Fraction:
        """See `Timeline`."""
        return time

    def end(self, last: Fraction, end: Fraction) -> Fraction:
        """See `Timeline`."""
        return end

    def times(self, before: Fraction, after: Fraction) -> Iterator[Fraction]:
        """See `Timeline`."""
        length = after - before
        count = self.factor
        if self.min_step:
            count = min(count, max(1, floor(length * self.slow / self.min_step)))
        return (before + length * part / count for part in range(count))


def output_times(
    timeline: Timeline, before: Fraction, after: Fraction, depth: int | None
) -> Iterator[OutputTime]:
    """Yield the times of the frames of the result from one source frame up to the next.

    Args:
        timeline: of the result.
        before, after: snapped times of two successive source frames, in seconds; for the last
            frame, `after` is the end of the video.
        depth: how often the network can halve the interval between two frames; None if it supports
            any time.
    """
    for time in timeline.times(before, after):
        t = (time - before) / (after - before)
        nearest = nearest_time(t, depth)
        error = abs(nearest - t) * (after - before) * timeline.slow
        yield OutputTime(round(time * timeline.slow / timeline.time_base), nearest, error)


def estimate_frames(
    count: int, rate: Fraction, timeline: Timeline, seconds: Fraction | None = None
) -> tuple[int, int]:
    """Estimate the number of frames of a result, and how many of them are interpolated, if none is
    held across a cut or in a long gap.

    Args:
        count: number of source frames.
        rate: of the source, in frames per second.
        timeline: of the result.
        seconds: duration of the source, if frames are missing from its grid.
    """
    slots: Fraction = Fraction(count)
    if seconds is not None and isinstance(timeline, ConstantRate):
        slots = max(slots, seconds * rate)
    per_slot = timeline.slow * timeline.rate / rate
    before_last = ceil((slots - 1) * per_slot)
    steps = per_slot.numerator  # the places of frames between source frames repeat after so many
    at_frames = Fraction(1 + 2 * floor(SNAP * steps) if steps > 1 else 1, steps)
    shown = at_frames * count / slots if count else Fraction(0)
    interpolated = before_last - round(before_last * shown) if count > 1 else 0
    return round(slots * per_slot), interpolated


def choose_timeline(
    source: SourceRate,
    source_time_base: Fraction,
    options: RetimingOptions,
    *,
    constant_rate_only: bool = False,
    min_step: Fraction = Fraction(0),
) -> Timeline:
    """Choose the timeline of a result.

    A regular source gets a constant rate, and its frames are snapped to the nearest grid points. An
    irregular source keeps its own times, unless `fps`, a fractional `factor` or the target requires
    a constant rate. Source frames are omitted only with `fps`, or with a fractional `slow` or
    `factor`.

    Args:
        source: frame rate of the source, and whether its frames follow it.
        source_time_base: of its pts.
        options: factor, fps, slow and vfr; with `slow` alone the rate does not change.
        constant_rate_only: the target supports only a constant frame rate.
        min_step: as in `VariableRate`.
    """
    factor = None if options.factor is None else parse_factor(options.factor)
    slow = Fraction(options.slow or 1)
    needs_constant_rate = (
        source.regular
        or options.fps is not None
        or constant_rate_only
        or isinstance(factor, Fraction)
    )
    if options.vfr or not needs_constant_rate:
        assert not isinstance(factor, Fraction), "RetimingOptions refuses it"
        whole_factor = factor or (DEFAULT_FACTOR if options.slow is None else ceil(slow))
        return VariableRate(whole_factor, source.rate, source_time_base, slow, min_step)
    period = 1 / source.rate if source.regular else None
    ending: dict[str, Any] = {"last_length": period, "tolerance": source.tolerance}
    if options.fps is not None:
        return ConstantRate(
            parse_rate(options.fps), slow, source.anchor, period, source.tolerance, **ending
        )
    rate = source.rate * (factor or (DEFAULT_FACTOR if options.slow is None else 1))
    step = 1 / (rate * slow)
    # a whole number: every grid point of the source is one of the result
    if (rate * slow / source.rate).denominator == 1:
        return ConstantRate(rate, slow, source.anchor, step, step / 2, **ending)
    return ConstantRate(rate, slow, source.anchor, period, source.tolerance, **ending)
