"""The largest local difference on the CPU, as a Halide pipeline: vertical maxima, then horizontal
ones."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import halide as hl
from torch import Tensor

from midframe.models.flowsep.steps.local_difference.reference import REACH
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer_view,
    cached_pipeline,
    in_one_loop,
    interleaved_rows,
)

x = hl.Var("x")
y = hl.Var("y")
n = hl.Var("n")
u = hl.Var("u")  # colours of the pixels of a row
task = hl.Var("task")


def local_difference(first: Tensor, second: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """See `Steps.local_difference`."""
    result = first.new_empty(len(first), 1, *size)
    rows, columns = first.shape[2:]
    height, width = size
    _pipeline(first.shape[1], factor)(
        interleaved_rows(first),
        interleaved_rows(second),
        columns,
        rows,
        width,
        height,
        buffer_view(result[:, 0]),
    )
    return result


@cached_pipeline
def _pipeline(channels: int, factor: int) -> Pipeline:
    first = hl.ImageParam(hl.Float(32), 3, "first")
    second = hl.ImageParam(hl.Float(32), 3, "second")
    columns = hl.Param(hl.Int(32), "columns")  # of the frames
    rows = hl.Param(hl.Int(32), "rows")
    width = hl.Param(hl.Int(32), "width")  # of the result
    height = hl.Param(hl.Int(32), "height")
    column = hl.Func("column")
    square = hl.Func("square")
    square_column = hl.Func("square_column")
    result = hl.Func("result")
    lines = [hl.min(y * factor + step, rows - 1) for step in range(factor)]
    column[u, y, n] = _largest(hl.abs(first[u, line, n] - second[u, line, n]) for line in lines)
    pixels = [hl.min(x * factor + step, columns - 1) for step in range(factor)]
    square[x, y, n] = _largest(
        column[pixel * channels + c, y, n] for pixel in pixels for c in range(channels)
    )
    offsets = range(-REACH, REACH + 1)
    square_column[x, y, n] = _largest(
        square[x, hl.clamp(y + offset, 0, height - 1), n] for offset in offsets
    )
    result[x, y, n] = _largest(
        square_column[hl.clamp(x + offset, 0, width - 1), y, n] for offset in offsets
    )

    # `square`, a maximum for each value of the fields, is stored for the whole frame. It is
    # computed by rows: first the vertical maxima of a whole row, where all colours of all pixels
    # are contiguous, then the horizontal ones. So are the maxima over neighbouring squares.
    guarded = hl.TailStrategy.GuardWithIf
    square.compute_root().fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    column.compute_at(square, task).vectorize(u, LANES, guarded)
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    square_column.compute_at(result, task).vectorize(x, LANES, guarded)
    in_one_loop(column, square, square_column, result)
    return Pipeline(result, first, second, columns, rows, width, height)


def _largest(values: Iterable[Any]) -> Any:
    return reduce(hl.max, values)
