"""Inconsistency on the CPU, as a Halide pipeline: 4 m (1 - m) times the difference of both warped
frames, m being the mask, then its mean over squares."""

from typing import Any

import halide as hl
from torch import Tensor

from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.models.flowsep.steps.inconsistency.plain import AREA
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    cached_pipeline,
    channels_innermost,
    fetch_bilinear,
    in_one_loop,
    natural_lanes,
    writable,
)

x = hl.Var("x")
y = hl.Var("y")
n = hl.Var("n")
task = hl.Var("task")


def inconsistency(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    """See `Steps.inconsistency`."""
    result = first.new_empty(len(first), 1, *first.shape[2:])
    run = _pipeline(FieldLayout.of(fields))
    run(
        channels_innermost(first),
        channels_innermost(second),
        buffer(fields),
        writable(result[:, 0]),
    )
    return result


@cached_pipeline
def _pipeline(layout: FieldLayout) -> Pipeline:
    first = hl.ImageParam(hl.Float(32), 4, "first")
    second = hl.ImageParam(hl.Float(32), 4, "second")
    fields = hl.ImageParam(hl.Float(32), 4, "fields")
    width, height = fields.dim(0).extent(), fields.dim(1).extent()
    by_pixel = hl.Func("by_pixel")
    padded = hl.Func("padded")
    column = hl.Func("column")
    result = hl.Func("result")
    first_colours = _along_flow(first, fields, layout.flow_to_first, width, height)
    second_colours = _along_flow(second, fields, layout.flow_to_second, width, height)
    pairs = zip(first_colours, second_colours, strict=True)
    difference = sum(hl.abs(one - other) for one, other in pairs) / float(COLOURS)
    mask = fields[x, y, layout.mask.start, n]
    by_pixel[x, y, n] = 4.0 * mask * (1.0 - mask) * difference
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    nearest = by_pixel[hl.clamp(x, 0, width - 1), hl.clamp(y, 0, height - 1), n]
    padded[x, y, n] = hl.select(inside, nearest, 0.0)
    radius = AREA // 2
    offsets = range(-radius, radius + 1)
    column[x, y, n] = sum(padded[x, y + offset, n] for offset in offsets)
    total = sum(column[x + offset, y, n] for offset in offsets)
    count = _count_inside(x, width) * _count_inside(y, height)
    result[x, y, n] = total / hl.cast(hl.Float(32), count)

    # The contribution of each pixel is stored for the whole frame, since 81 averages use it; it is
    # vectorised over adjacent pixels, which gather from the frames, fastest with one register at a
    # time. The zero padding is stored too (`padded`), otherwise every sum would need bounds checks.
    # Sums are vertical, then horizontal.
    guarded = hl.TailStrategy.GuardWithIf
    by_pixel.compute_root().vectorize(x, natural_lanes(), guarded).parallel(y)
    padded.compute_root().vectorize(x, LANES, guarded).parallel(y)
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    column.compute_at(result, task).vectorize(x, LANES, guarded)
    in_one_loop(by_pixel, padded, column, result)
    return Pipeline(result, first, second, fields)


def _along_flow(
    frame: hl.ImageParam, fields: hl.ImageParam, flow: slice, width: Any, height: Any
) -> list[Any]:
    """Return the colours of a frame at the position of a flow, bilinear; outside, those of the
    edge."""
    neighbours = []
    for axis, (pixel, size) in enumerate(((x, width), (y, height))):
        position = hl.cast(hl.Float(32), pixel) + fields[x, y, flow.start + axis, n]
        position = hl.clamp(position, 0.0, hl.cast(hl.Float(32), size - 1))
        # Clamped as a whole number too: NaN must not address memory.
        before = hl.clamp(hl.cast(hl.Int(32), hl.floor(position)), 0, size - 1)
        neighbours.append((before, hl.min(before + 1, size - 1), position - hl.floor(position)))
    return [fetch_bilinear(frame, colour, n, *neighbours, bf16=False) for colour in range(COLOURS)]


def _count_inside(pixel: Any, size: Any) -> Any:
    """Return how many of the values that are averaged along an axis are inside."""
    return hl.min(pixel + AREA // 2, size - 1) - hl.max(pixel - AREA // 2, 0) + 1
