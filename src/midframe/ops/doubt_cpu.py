"""Doubt on the CPU, as a Halide pipeline: what pixels say by themselves, then sums down and across."""

from typing import Any

import halide as hl
from torch import Tensor

from midframe.ops.doubt import AREA
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    fetched,
    in_one_loop,
    inner,
    natural_lanes,
    once,
    serves,
    writable,
)

__all__ = ["doubt", "serves"]

NAMES = ("x", "y", "n", "task")
x, y, n, task = map(hl.Var, NAMES)
COLOURS = 3


def doubt(first: Tensor, second: Tensor, said: Tensor, taps: int) -> Tensor:
    """See `midframe.ops.doubt.doubt`."""
    result = first.new_empty(len(first), 1, *first.shape[2:])
    _pipeline(taps)(inner(first), inner(second), buffer(said), writable(result[:, 0]))
    return result


@once
def _pipeline(taps: int) -> Pipeline:
    first, second, said = (hl.ImageParam(hl.Float(32), 4, name) for name in ("first", "second", "said"))
    wide, high = said.dim(0).extent(), said.dim(1).extent()
    here, alone, down, result = map(hl.Func, ("here", "alone", "down", "result"))
    pixels = [_along(frame, said, 2 * place, wide, high) for place, frame in enumerate((first, second))]
    apart = sum(hl.abs(one - other) for one, other in zip(*pixels, strict=True)) / float(COLOURS)
    share = said[x, y, 4 + 4 * taps, n]
    here[x, y, n] = 4.0 * share * (1.0 - share) * apart
    inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
    alone[x, y, n] = hl.select(inside, here[hl.clamp(x, 0, wide - 1), hl.clamp(y, 0, high - 1), n], 0.0)
    reach = AREA // 2
    down[x, y, n] = sum(alone[x, y + step, n] for step in range(-reach, reach + 1))
    total = sum(down[x + step, y, n] for step in range(-reach, reach + 1))
    result[x, y, n] = total / hl.cast(hl.Float(32), _seen(x, wide) * _seen(y, high))

    guarded = hl.TailStrategy.GuardWithIf
    here.compute_root().vectorize(x, natural_lanes(), guarded).parallel(y)
    alone.compute_root().vectorize(x, LANES, guarded).parallel(y)
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    down.compute_at(result, task).vectorize(x, LANES, guarded)
    in_one_loop(here, alone, down, result)
    return Pipeline(result, first, second, said)


def _along(frame: hl.ImageParam, said: hl.ImageParam, field: int, wide: Any, high: Any) -> list[Any]:
    """The colours of a frame where the flow in two fields leads, between its pixels; outside, those of the edge."""
    places = []
    for axis, (at, size) in enumerate(((x, wide), (y, high))):
        to = hl.clamp(hl.cast(hl.Float(32), at) + said[x, y, field + axis, n], 0.0, hl.cast(hl.Float(32), size - 1))
        before = hl.clamp(hl.cast(hl.Int(32), hl.floor(to)), 0, size - 1)
        places.append((before, hl.min(before + 1, size - 1), to - hl.floor(to)))
    return [fetched(frame, colour, n, *places, half=False) for colour in range(COLOURS)]


def _seen(place: Any, size: Any) -> Any:
    """How many of the values that are averaged along an axis lie inside."""
    return hl.min(place + AREA // 2, size - 1) - hl.max(place - AREA // 2, 0) + 1
