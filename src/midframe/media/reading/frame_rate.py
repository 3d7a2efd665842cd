"""Which frame rate a source has, and whether its frames keep to it.

Containers round times (Matroska to milliseconds, GIF to hundredths), phones drift and jitter, the
first frame may come late. A source is regular if nearly all of its frames lie on one grid of equal
steps, as near as its times are exact.
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
"""So many steps of one length are no effect of rounding."""
CLOSE_RATE = Fraction(2, 100)
"""Frames that come unevenly are taken for one of the common rates if that is no further from
theirs."""
OFF_GRID = 0.01
"""Fraction of the frames that may lie beside the grid of a regular source; one frame always may."""
JITTER = Fraction(1, 8)
"""Steps by which the other frames may lie beside it."""
MAJORITY = 0.9
"""Fraction of the frames that must agree on a grid on which the first one does not lie."""
MAX_DENOMINATOR = 10_000
"""Of a rate that is fitted to the times."""
COARSE_TICK = Fraction(1, 100)
"""Seconds. Times that are no finer, as those of GIF, state common rates only roughly."""
LARGEST_TOLERANCE = Fraction(9, 20)
"""Of a step: a frame further from a place of the grid lies between two."""
SPARSE = 10
"""A source whose grid has so many times more places than frames is no regular one."""


@dataclass(frozen=True)
class SourceRate:
    """The frame rate of a source."""

    rate: Fraction
    """Frames a second that it mostly has."""
    anchor: Fraction
    """A place of the grid that most frames keep to, in seconds."""
    regular: bool
    """Nearly all frames lie on the grid, each at a place of its own."""
    tolerance: Fraction
    """Seconds within which a frame counts as lying on the grid."""


def measure_rate(
    times: Sequence[Fraction], tick: Fraction, stated: Sequence[Fraction]
) -> SourceRate:
    """Measure the frame rate of a source.

    Args:
        times: when its frames are shown, in seconds, in order.
        tick: how finely times are given, in seconds.
        stated: rates that the file itself states.
    """
    stated = [rate for rate in stated if _can_have(tick, rate)]
    usual = source_rate(times, tick, stated)
    if len(times) < 2:
        return SourceRate(usual, times[0] if times else Fraction(0), True, _tolerance(usual, tick))
    seconds: Any = np.array([float(time - times[0]) for time in times])
    for rate in dict.fromkeys([usual, *_near(seconds, tick, stated), _fitted(seconds)]):
        tolerance = _tolerance(rate, tick)
        anchor = _anchor(seconds * float(rate), float(tolerance * rate))
        if _lie_on_grid(seconds * float(rate), anchor, float(tolerance * rate)):
            return SourceRate(rate, times[anchor], True, tolerance)
    return SourceRate(usual, times[0], False, _tolerance(usual, tick))


def exact_rate(rate: Fraction, anchor: Fraction) -> SourceRate:
    """The frame rate of a source whose frames lie on the grid of a rate that is given.

    Args:
        rate: frames a second, whose step is also the tick of the source's times.
        anchor: when one of the frames is shown, in seconds.
    """
    return SourceRate(rate, anchor, True, _tolerance(rate, 1 / rate))


def _can_have(tick: Fraction, rate: Fraction) -> bool:
    """Whether times of a tick can state a rate; hundredths of a second can state none of NTSC, for
    instance."""
    return tick < COARSE_TICK or rate.denominator == 1 or (1 / (rate * tick)).denominator == 1


def _tolerance(rate: Fraction, tick: Fraction) -> Fraction:
    return max(min(tick, LARGEST_TOLERANCE / rate), JITTER / rate)


def _near(seconds: Any, tick: Fraction, stated: Sequence[Fraction]) -> list[Fraction]:
    """Common and stated rates near the middle step, as near as a tick allows."""
    middle = float(np.median(np.diff(seconds)))
    if middle <= 0:
        return []
    reach = max(float(CLOSE_RATE), float(tick) / middle)
    usual = [rate for rate in stated if rate in COMMON_RATES]
    return [
        rate for rate in (*usual, *COMMON_RATES, *stated) if abs(float(rate) * middle - 1) <= reach
    ]


def _fitted(seconds: Any) -> Fraction:
    """The rate of the line through all times by their places, which drops and rounding do not
    move."""
    steps = np.diff(seconds)
    middle = np.median(steps[steps > 0]) if (steps > 0).any() else 1.0
    places = np.concatenate(([0], np.cumsum(np.rint(steps / middle))))
    if places[-1] <= 0:
        return Fraction(1)
    slope = np.polyfit(places, seconds, 1)[0] if len(seconds) > 2 else seconds[-1] / places[-1]
    return Fraction(1 / slope).limit_denominator(MAX_DENOMINATOR) if slope > 0 else Fraction(1)


def _anchor(places: Any, tolerance: float) -> int:
    """Index of a frame on the grid that most keep to: the first if it does, else the one amid the
    densest phase."""
    if _lie_on_grid(places, 0, tolerance):
        return 0
    phases = places % 1
    wrapped = np.sort(np.concatenate((phases, phases + 1)))
    within = np.searchsorted(wrapped, phases + tolerance, "right") - np.searchsorted(
        wrapped, phases - tolerance
    )
    within += np.searchsorted(wrapped, phases + 1 + tolerance, "right") - np.searchsorted(
        wrapped, phases + 1 - tolerance
    )
    first_keeps_to_it = within[0] >= within.max() - max(1.0, OFF_GRID * len(places))
    return 0 if first_keeps_to_it or within.max() < len(places) * MAJORITY else int(within.argmax())


def _lie_on_grid(places: Any, anchor: int, tolerance: float) -> bool:
    relative = places - places[anchor]
    numbers = np.rint(relative)
    beside = np.abs(relative - numbers) > tolerance + 1e-6
    on_grid = numbers[~beside]
    allowed = max(1.0, OFF_GRID * len(places))
    doubled = len(on_grid) - len(np.unique(on_grid))
    span = numbers[-1] - numbers[0] + 1
    return bool(beside.sum() + doubled <= allowed and span <= SPARSE * len(places) + MIN_STEPS)


def source_rate(times: Sequence[Fraction], tick: Fraction, stated: Sequence[Fraction]) -> Fraction:
    """The frame rate that a source mostly has.

    Where its frames come evenly, that is the rate which they keep to: of equal steps their own, of
    steps that a tick rounds a common one, the one that the file states first. Where they come
    unevenly, a common rate near their middle step.

    Args:
        times: of its frames, in seconds, in order.
        tick: how finely they are given.
        stated: rates that the file itself states.
    """
    steps = [after - before for before, after in pairwise(times) if after > before]
    if not steps:
        return next(iter(stated), Fraction(25))
    middle = Fraction(median(steps))
    common = [rate for rate in COMMON_RATES if _can_have(tick, rate)]
    tick = min(tick, LARGEST_TOLERANCE * middle)
    begin, end = _even_run(times, middle, tick)
    length, count = times[end] - times[begin], end - begin
    if count * 2 <= len(steps):
        near = min(COMMON_RATES, key=lambda rate: abs(rate * middle - 1))
        return near if abs(near * middle - 1) <= CLOSE_RATE else 1 / middle
    if (
        count >= MIN_STEPS
        and len({after - before for before, after in pairwise(times[begin : end + 1])}) == 1
    ):
        return 1 / middle
    usual = [rate for rate in stated if rate in COMMON_RATES]
    fits = [rate for rate in (*usual, *common, *stated) if abs(length - count / rate) <= tick]
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
