"""The frame rate of a source, and whether its frames follow it.

Containers round times (Matroska to milliseconds, GIF to hundredths), recordings of phones drift and
jitter, and the first frame may be late. A source is regular if nearly all of its frames lie on a
grid of equal steps, within the precision of its times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from midframe.rates import COMMON_RATES

MIN_STEPS = 10
"""Minimum number of equal steps that rounding cannot explain."""
MAX_RATE_ERROR = Fraction(2, 100)
"""Largest relative distance of the rate of uneven frames from the common rate that is assumed."""
MAX_OFF_GRID = 0.01
"""Fraction of the frames of a regular source that may be off the grid."""
MIN_FRAMES_WITH_OUTLIER = 8
"""In sources with this many frames, one frame may be off the grid, whatever the fraction."""
JITTER = Fraction(1, 8)
"""Largest distance of a frame on the grid from its grid point, in steps."""
MAJORITY = 0.9
"""Fraction of the frames that must lie on a grid that does not contain the first frame."""
MAX_DENOMINATOR = 10_000
"""Largest denominator of a rate that is fitted to the times."""
COARSE_TICK = Fraction(1, 100)
"""Seconds: times with this or a coarser precision, as in GIF, represent common rates only
roughly."""
MAX_TOLERANCE = Fraction(9, 20)
"""Fraction of a step: a frame that is further from all grid points lies between two of them."""
MAX_SPARSITY = 10
"""A source with more grid points per frame than this is not regular."""


@dataclass(frozen=True)
class SourceRate:
    """The frame rate of a source."""

    rate: Fraction
    """Most common frame rate, in frames per second."""
    anchor: Fraction
    """A point of the grid on which most frames lie, in seconds."""
    regular: bool
    """Nearly all frames lie on the grid, each at a different point."""
    tolerance: Fraction
    """Largest distance of a frame on the grid from its grid point, in seconds."""


def measure_rate(
    times: Sequence[Fraction], tick: Fraction, stated: Sequence[Fraction]
) -> SourceRate:
    """Measure the frame rate of a source.

    Args:
        times: of its frames, in seconds, sorted.
        tick: precision of the times, in seconds.
        stated: rates that the file states.
    """
    stated = [rate for rate in stated if _can_represent(tick, rate)]
    common = most_common_rate(times, tick, stated)
    if len(times) < 2:
        return SourceRate(
            common, times[0] if times else Fraction(0), True, _tolerance(common, tick)
        )
    seconds: Any = np.array([float(time - times[0]) for time in times])
    nearby = [common, *_nearby_rates(seconds, tick, stated)]
    # a short source may jitter around the grids of several rates, and be rounded from one of them
    rates = sorted(nearby, key=lambda rate: not _is_rounded(seconds, float(rate), float(tick)))
    for rate in dict.fromkeys([*rates, _fit_rate(seconds)]):
        tolerance = _tolerance(rate, tick)
        anchor = _anchor(seconds * float(rate), float(tolerance * rate))
        if _lie_on_grid(seconds * float(rate), anchor, float(tolerance * rate)):
            return SourceRate(rate, times[anchor], True, tolerance)
    return SourceRate(common, times[0], False, _tolerance(common, tick))


def exact_rate(rate: Fraction, anchor: Fraction) -> SourceRate:
    """Return the frame rate of a source whose frames lie exactly on a grid.

    Args:
        rate: frames per second; its step is also the precision of the source's times.
        anchor: time of one of the frames, in seconds.
    """
    return SourceRate(rate, anchor, True, _tolerance(rate, 1 / rate))


def _can_represent(tick: Fraction, rate: Fraction) -> bool:
    """Return whether times in multiples of a tick can represent a rate; hundredths of a second
    cannot represent NTSC rates, for example."""
    return tick < COARSE_TICK or rate.denominator == 1 or (1 / (rate * tick)).denominator == 1


def _tolerance(rate: Fraction, tick: Fraction) -> Fraction:
    return max(min(tick, MAX_TOLERANCE / rate), JITTER / rate)


def _nearby_rates(seconds: Any, tick: Fraction, stated: Sequence[Fraction]) -> list[Fraction]:
    """Return common and stated rates within a tick of the median step."""
    median_step = float(np.median(np.diff(seconds)))
    if median_step <= 0:
        return []
    max_error = max(float(MAX_RATE_ERROR), float(tick) / median_step)
    usual = [rate for rate in stated if rate in COMMON_RATES]
    return [
        rate
        for rate in (*usual, *COMMON_RATES, *stated)
        if abs(float(rate) * median_step - 1) <= max_error
    ]


def _fit_rate(seconds: Any) -> Fraction:
    """Fit a line to the times over their grid points, and return its rate; dropped frames and
    rounding do not affect it."""
    steps = np.diff(seconds)
    median_step = np.median(steps[steps > 0]) if (steps > 0).any() else 1.0
    positions = np.concatenate(([0], np.cumsum(np.rint(steps / median_step))))
    if positions[-1] <= 0:
        return Fraction(1)
    slope = (
        np.polyfit(positions, seconds, 1)[0] if len(seconds) > 2 else seconds[-1] / positions[-1]
    )
    return Fraction(1 / slope).limit_denominator(MAX_DENOMINATOR) if slope > 0 else Fraction(1)


def _anchor(positions: Any, tolerance: float) -> int:
    """Return the index of a frame on the grid of most frames: the first if possible, otherwise the
    one at the most frequent phase."""
    if _lie_on_grid(positions, 0, tolerance):
        return 0
    phases = positions % 1
    wrapped = np.sort(np.concatenate((phases, phases + 1)))
    within = np.searchsorted(wrapped, phases + tolerance, "right") - np.searchsorted(
        wrapped, phases - tolerance
    )
    within += np.searchsorted(wrapped, phases + 1 + tolerance, "right") - np.searchsorted(
        wrapped, phases + 1 - tolerance
    )
    first_is_on_grid = within[0] >= within.max() - max(1.0, MAX_OFF_GRID * len(positions))
    no_majority = within.max() < len(positions) * MAJORITY
    return 0 if first_is_on_grid or no_majority else int(within.argmax())


def _is_rounded(seconds: Any, rate: float, tick: float) -> bool:
    """Return whether rounding to a tick explains the distances of all frames from a grid."""
    distances = seconds - np.rint(seconds * rate) / rate
    return bool(np.ptp(distances) <= tick + 1e-6)


def _lie_on_grid(positions: Any, anchor: int, tolerance: float) -> bool:
    relative = positions - positions[anchor]
    numbers = np.rint(relative)
    off_grid = np.abs(relative - numbers) > tolerance + 1e-6
    on_grid = numbers[~off_grid]
    always = 1 if len(positions) >= MIN_FRAMES_WITH_OUTLIER else 0
    allowed = max(always, MAX_OFF_GRID * len(positions))
    sharing = len(on_grid) - len(np.unique(on_grid))
    span = numbers[-1] - numbers[0] + 1
    return bool(
        off_grid.sum() + sharing <= allowed and span <= MAX_SPARSITY * len(positions) + MIN_STEPS
    )


def most_common_rate(
    times: Sequence[Fraction], tick: Fraction, stated: Sequence[Fraction]
) -> Fraction:
    """Return the most common frame rate of a source.

    For even frames it is their rate: that of equal steps, or for steps that are rounded to a tick a
    common rate, preferably the one that the file states. For uneven frames it is a common rate near
    their median step.

    Args:
        times: of its frames, in seconds, in order.
        tick: precision of the times, in seconds.
        stated: rates that the file states.
    """
    steps = [after - before for before, after in pairwise(times) if after > before]
    if not steps:
        return next(iter(stated), Fraction(25))
    median_step = Fraction(median(steps))
    common = [rate for rate in COMMON_RATES if _can_represent(tick, rate)]
    tick = min(tick, MAX_TOLERANCE * median_step)
    begin, end = _longest_even_run(times, median_step, tick)
    length, count = times[end] - times[begin], end - begin
    if count * 2 <= len(steps):
        near = min(COMMON_RATES, key=lambda rate: abs(rate * median_step - 1))
        return near if abs(near * median_step - 1) <= MAX_RATE_ERROR else 1 / median_step
    if (
        count >= MIN_STEPS
        and len({after - before for before, after in pairwise(times[begin : end + 1])}) == 1
    ):
        return 1 / median_step
    usual = [rate for rate in stated if rate in COMMON_RATES]
    fits = [rate for rate in (*usual, *common, *stated) if abs(length - count / rate) <= tick]
    return fits[0] if fits else count / length


def _longest_even_run(times: Sequence[Fraction], step: Fraction, tick: Fraction) -> tuple[int, int]:
    """Return the first and last index of the longest run of times whose steps differ by at most a
    tick."""
    longest = (0, 0)
    begin = 0
    for end, (before, after) in enumerate(pairwise(times), start=1):
        if abs(after - before - step) > tick:
            begin = end
        elif end - begin > longest[1] - longest[0]:
            longest = (begin, end)
    return longest
