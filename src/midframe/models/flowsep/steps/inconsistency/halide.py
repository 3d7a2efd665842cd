"""Inconsistency on the CPU, as a Halide pipeline: each pixel by itself, then sums down and
across."""

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
    here = hl.Func("here")
    padded = hl.Func("padded")
    down = hl.Func("down")
    result = hl.Func("result")
    first_colours = _along_flow(first, fields, layout.flow_to_first, width, height)
    second_colours = _along_flow(second, fields, layout.flow_to_second, width, height)
    pairs = zip(first_colours, second_colours, strict=True)
    difference = sum(hl.abs(one - other) for one, other in pairs) / float(COLOURS)
    mask = fields[x, y, layout.mask.start, n]
    here[x, y, n] = 4.0 * mask * (1.0 - mask) * difference
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    nearest = here[hl.clamp(x, 0, width - 1), hl.clamp(y, 0, height - 1), n]
    padded[x, y, n] = hl.select(inside, nearest, 0.0)
    radius = AREA // 2
    offsets = range(-radius, radius + 1)
    down[x, y, n] = sum(padded[x, y + offset, n] for offset in offsets)
    total = sum(down[x + offset, y, n] for offset in offsets)
    count = _count_inside(x, width) * _count_inside(y, height)
    result[x, y, n] = total / hl.cast(hl.Float(32), count)

    # The contribution of each pixel is stored for the whole frame, since 81 averages use it; it is
    # vectorised over adjacent pixels, which gather from the frames, fastest with one register at a
    # time. The zero padding is stored too (`padded`), otherwise every sum would need bounds checks.
    # Sums are vertical, then horizontal.
    guarded = hl.TailStrategy.GuardWithIf
    here.compute_root().vectorize(x, natural_lanes(), guarded).parallel(y)
    padded.compute_root().vectorize(x, LANES, guarded).parallel(y)
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    down.compute_at(result, task).vectorize(x, LANES, guarded)
    in_one_loop(here, padded, down, result)
    return Pipeline(result, first, second, fields)


def _along_flow(
    frame: hl.ImageParam, fields: hl.ImageParam, flow: slice, width: Any, height: Any
) -> list[Any]:
    """Return the colours of a frame at the position of a flow, bilinear; outside, those of the
    edge."""
    places = []
    for axis, (own, size) in enumerate(((x, width), (y, height))):
        place = hl.cast(hl.Float(32), own) + fields[x, y, flow.start + axis, n]
        place = hl.clamp(place, 0.0, hl.cast(hl.Float(32), size - 1))
        before = hl.clamp(hl.cast(hl.Int(32), hl.floor(place)), 0, size - 1)
        places.append((before, hl.min(before + 1, size - 1), place - hl.floor(place)))
    return [fetch_bilinear(frame, colour, n, *places, bf16=False) for colour in range(COLOURS)]


def _count_inside(place: Any, size: Any) -> Any:
    """Return how many of the values that are averaged along an axis are inside."""
    return hl.min(place + AREA // 2, size - 1) - hl.max(place - AREA // 2, 0) + 1
