"""The largest local difference on the CPU, as a Halide pipeline: vertical maxima, then horizontal
ones."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import halide as hl
from torch import Tensor

from midframe.models.flowsep.steps.local_difference.plain import REACH
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    cached_pipeline,
    in_one_loop,
    interleaved_rows,
    writable,
)

x = hl.Var("x")
y = hl.Var("y")
n = hl.Var("n")
u = hl.Var("u")
task = hl.Var("task")


def local_difference(first: Tensor, second: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """See `Steps.local_difference`."""
    result = first.new_empty(len(first), 1, *size)
    sizes = (*first.shape[:1:-1], *size[::-1])
    _pipeline(first.shape[1], factor)(
        interleaved_rows(first), interleaved_rows(second), *sizes, writable(result[:, 0])
    )
    return result


@cached_pipeline
def _pipeline(channels: int, factor: int) -> Pipeline:
    first = hl.ImageParam(hl.Float(32), 3, "first")
    second = hl.ImageParam(hl.Float(32), 3, "second")
    columns = hl.Param(hl.Int(32), "columns")
    rows = hl.Param(hl.Int(32), "rows")
    wide = hl.Param(hl.Int(32), "wide")
    high = hl.Param(hl.Int(32), "high")
    column = hl.Func("column")
    square = hl.Func("square")
    down = hl.Func("down")
    result = hl.Func("result")
    lines = [hl.min(y * factor + step, rows - 1) for step in range(factor)]
    column[u, y, n] = _largest(hl.abs(first[u, line, n] - second[u, line, n]) for line in lines)
    pixels = [hl.min(x * factor + step, columns - 1) for step in range(factor)]
    square[x, y, n] = _largest(
        column[pixel * channels + c, y, n] for pixel in pixels for c in range(channels)
    )
    around = range(-REACH, REACH + 1)
    down[x, y, n] = _largest(square[x, hl.clamp(y + step, 0, high - 1), n] for step in around)
    result[x, y, n] = _largest(down[hl.clamp(x + step, 0, wide - 1), y, n] for step in around)

    # `square` is all that is kept of the frames: a maximum for each value of the fields, computed
    # row by row, with the maxima down for a whole row first, where all colours of all pixels are
    # one stretch of memory. The maxima over neighbouring squares then read so little that down and
    # across need nothing but a row each.
    guarded = hl.TailStrategy.GuardWithIf
    square.compute_root().fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    column.compute_at(square, task).vectorize(u, LANES, guarded)
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    down.compute_at(result, task).vectorize(x, LANES, guarded)
    in_one_loop(column, square, down, result)
    return Pipeline(result, first, second, columns, rows, wide, high)


def _largest(values: Iterable[Any]) -> Any:
    return reduce(hl.max, values)
