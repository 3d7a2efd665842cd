"""The alignment of both frames on the CPU, as a Halide pipeline: their difference along the flows,
the measures of each pixel, then their means over squares."""

from typing import Any

import halide as hl
from torch import Tensor

from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.models.flowsep.steps.alignment.reference import AREA, MEASURES
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    buffer_view,
    cached_pipeline,
    channels_innermost,
    fetch_bilinear,
    in_one_loop,
    natural_lanes,
)

x = hl.Var("x")
y = hl.Var("y")
k = hl.Var("k")  # index of a measure
n = hl.Var("n")
task = hl.Var("task")


def alignment(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    """See `Steps.alignment`."""
    result = first.new_empty(len(first), MEASURES, *first.shape[2:])
    run = _pipeline(FieldLayout.of(fields))
    run(
        channels_innermost(first),
        channels_innermost(second),
        buffer(fields),
        buffer_view(result),
    )
    return result


@cached_pipeline
def _pipeline(layout: FieldLayout) -> Pipeline:
    first = hl.ImageParam(hl.Float(32), 4, "first")
    second = hl.ImageParam(hl.Float(32), 4, "second")
    fields = hl.ImageParam(hl.Float(32), 4, "fields")
    width, height = fields.dim(0).extent(), fields.dim(1).extent()
    along_flows = hl.Func("along_flows")
    padded = hl.Func("padded")
    column = hl.Func("column")
    result = hl.Func("result")
    first_colours = _along_flow(first, fields, layout.flow_to_first, width, height)
    second_colours = _along_flow(second, fields, layout.flow_to_second, width, height)
    along_flows[x, y, n] = _difference(first_colours, second_colours)
    column_x, row_y = hl.clamp(x, 0, width - 1), hl.clamp(y, 0, height - 1)
    mask = fields[column_x, row_y, layout.mask.start, n]
    moved = along_flows[column_x, row_y, n]
    in_place = _difference(
        *(
            [frame[colour, column_x, row_y, n] for colour in range(COLOURS)]
            for frame in (first, second)
        )
    )
    value = hl.mux(k, [4.0 * mask * (1.0 - mask) * moved, moved, in_place])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    padded[x, y, k, n] = hl.select(inside, value, 0.0)
    radius = AREA // 2
    offsets = range(-radius, radius + 1)
    column[x, y, k, n] = sum(padded[x, y + offset, k, n] for offset in offsets)
    total = sum(column[x + offset, y, k, n] for offset in offsets)
    count = _count_inside(x, width) * _count_inside(y, height)
    result[x, y, k, n] = total / hl.cast(hl.Float(32), count)

    # The values of each pixel are stored for the whole frame, since 81 averages use them. The
    # difference along the flows is vectorised over adjacent pixels, which gather from the frames,
    # fastest with one register at a time. The zero padding is stored too (`padded`), otherwise
    # every sum would need bounds checks. Sums are vertical, then horizontal.
    guarded = hl.TailStrategy.GuardWithIf
    along_flows.compute_root().vectorize(x, natural_lanes(), guarded).parallel(y)
    padded.compute_root().bound(k, 0, MEASURES).reorder(x, k, y, n).unroll(k)
    padded.vectorize(x, LANES, guarded).parallel(y)
    result.bound(k, 0, MEASURES).reorder(x, k, y, n).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, guarded)
    column.compute_at(result, k).vectorize(x, LANES, guarded)
    in_one_loop(along_flows, padded, column, result)
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


def _difference(first: list[Any], second: list[Any]) -> Any:
    """Return the mean absolute difference of colours."""
    pairs = zip(first, second, strict=True)
    return sum(hl.abs(one - other) for one, other in pairs) / float(COLOURS)


def _count_inside(pixel: Any, size: Any) -> Any:
    """Return how many of the values that are averaged along an axis are inside."""
    return hl.min(pixel + AREA // 2, size - 1) - hl.max(pixel - AREA // 2, 0) + 1
