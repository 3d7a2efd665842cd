"""Differences in blocks on the CPU, as a Halide pipeline."""

from functools import reduce

import halide as hl
import torch
from torch import Tensor

from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer_view,
    cached_pipeline,
    interleaved_rows,
    lerp,
)

COLOURS = 3

x = hl.Var("x")
y = hl.Var("y")
GUARDED = hl.TailStrategy.GuardWithIf


def blend_error(image: Tensor, before: Tensor, after: Tensor, t: float, block: int) -> Tensor:
    """See `midframe.video.block_differences.blend_error`."""
    channels, height, width = image.shape[1:]
    result = torch.empty(-(-height // block), -(-width // block))
    run = _pipeline(channels)
    run(
        interleaved_rows(image),
        interleaved_rows(before),
        interleaved_rows(after),
        float(t),
        -(-width // 2),
        -(-height // 2),
        block // 2,
        buffer_view(result),
    )
    return result


@cached_pipeline
def _pipeline(channels: int) -> Pipeline:
    """Build the pipeline for frames of `channels` values a pixel."""
    images = [hl.ImageParam(hl.Float(32), 3, name) for name in ("image", "before", "after")]
    t = hl.Param(hl.Float(32), "t")
    columns = hl.Param(hl.Int(32), "columns")  # of the pixels that are read
    rows = hl.Param(hl.Int(32), "rows")
    side = hl.Param(hl.Int(32), "side")  # of a block, in such pixels
    column_sum = hl.Func("column_sum")
    block_sum = hl.Func("block_sum")
    result = hl.Func("result")
    line = hl.RDom([hl.Range(0, side)], "line")
    line.where(y * side + line.x < rows)  # blocks at the edges may be smaller
    start = 2 * channels * x
    row = 2 * hl.min(y * side + line.x, rows - 1)
    errors = []
    for colour in range(COLOURS):
        image, before, after = (each[start + colour, row, 0] for each in images)
        errors.append(hl.abs(lerp(before, after, t) - image))
    column_sum[x, y] = hl.f32(0)
    column_sum[x, y] += reduce(hl.max, errors)
    pixel = hl.RDom([hl.Range(0, side)], "pixel")
    pixel.where(x * side + pixel.x < columns)
    block_sum[x, y] = hl.f32(0)
    block_sum[x, y] += column_sum[hl.min(x * side + pixel.x, columns - 1), y]
    size = hl.min(side, columns - x * side) * hl.min(side, rows - y * side)
    result[x, y] = block_sum[x, y] / hl.cast(hl.Float(32), size)

    # A task is a row of blocks: first the sums of columns, whose pixels are contiguous.
    result.parallel(y)
    column_sum.compute_at(result, y).vectorize(x, LANES, GUARDED)
    column_sum.update(0).reorder(x, line.x, y).vectorize(x, LANES, GUARDED)
    block_sum.compute_at(result, x)
    return Pipeline(result, *images, t, columns, rows, side)
