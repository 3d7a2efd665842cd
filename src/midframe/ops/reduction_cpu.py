"""Averaging squares of pixels on the CPU, as a Halide pipeline: down along rows as they lie, then across."""

import halide as hl
from torch import Tensor

from midframe.ops.halide_tools import LANES, Pipeline, in_rows, once, serves, writable

__all__ = ["reduced", "serves"]

NAMES = ("x", "y", "c", "n", "u", "task")
x, y, c, n, u, task = map(hl.Var, NAMES)


def reduced(frame: Tensor, scale: int, multiple: int) -> Tensor:
    """See `midframe.ops.reduction.reduced`; the frame's size is a multiple of the scale."""
    count, channels, *size = frame.shape
    height, width = (extent // scale for extent in size)
    whole = [extent + -extent % multiple for extent in (height, width)]
    result = frame.new_empty(count, *whole, channels)
    _pipeline(channels, scale)(in_rows(frame), writable(result[:, :height, :width]))
    result[:, :height, width:] = result[:, :height, width - 1 : width]
    result[:, height:] = result[:, height - 1 : height]
    return result.permute(0, 3, 1, 2)


@once
def _pipeline(channels: int, scale: int) -> Pipeline:
    rows = hl.ImageParam(hl.Float(32), 3, "rows")
    column, result = hl.Func("column"), hl.Func("result")
    column[u, y, n] = sum(rows[u, y * scale + step, n] for step in range(scale))
    across = sum(column[(x * scale + step) * channels + c, y, n] for step in range(scale))
    result[c, x, y, n] = across * (1.0 / scale**2)
    result.bound(c, 0, channels).reorder(c, x, y, n).unroll(c).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.GuardWithIf)
    column.compute_at(result, task).vectorize(u, LANES, hl.TailStrategy.GuardWithIf)
    return Pipeline(result, rows)
