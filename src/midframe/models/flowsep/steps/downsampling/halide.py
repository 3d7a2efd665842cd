"""Downsampling on the CPU, as a Halide pipeline: vertical sums of whole rows, then horizontal
ones."""

import halide as hl
from torch import Tensor

from midframe.models.flowsep.steps.downsampling.reference import pad_to_multiple
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer_view,
    cached_pipeline,
    interleaved_rows,
)

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
u = hl.Var("u")  # colours of the pixels of a row
task = hl.Var("task")


def downsample(frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
    """See `Steps.downsample`. The colours of a pixel of the result are adjacent in memory."""
    if factor == 1:
        return pad_to_multiple(frame, multiple)
    frame = pad_to_multiple(frame, factor)
    count, channels, *size = frame.shape
    height, width = (extent // factor for extent in size)
    rows = height + -height % multiple
    columns = width + -width % multiple
    result = frame.new_empty(count, rows, columns, channels)
    _pipeline(channels, factor)(interleaved_rows(frame), buffer_view(result[:, :height, :width]))
    result[:, :height, width:] = result[:, :height, width - 1 : width]
    result[:, height:] = result[:, height - 1 : height]
    return result.permute(0, 3, 1, 2)


@cached_pipeline
def _pipeline(channels: int, factor: int) -> Pipeline:
    rows = hl.ImageParam(hl.Float(32), 3, "rows")
    column = hl.Func("column")
    result = hl.Func("result")
    column[u, y, n] = sum(rows[u, y * factor + step, n] for step in range(factor))
    square = sum(column[(x * factor + step) * channels + c, y, n] for step in range(factor))
    result[c, x, y, n] = square * (1.0 / factor**2)
    # A task is a row of the result. Its vertical sums are computed for the whole row first, where
    # all colours of all pixels are contiguous; the horizontal sums then gather from the cache.
    result.bound(c, 0, channels).reorder(c, x, y, n).unroll(c).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.GuardWithIf)
    column.compute_at(result, task).vectorize(u, LANES, hl.TailStrategy.GuardWithIf)
    return Pipeline(result, rows)
