"""The choice of flow propagation on the CPU: one Halide pipeline, all channels of a pixel at a
time.

For each pixel (x, y) and candidate k with flows to both frames, standardised:

    total[k, y, x] = sum_c |first[c, along flow 1] - second[c, along flow 2]|
    box[k, y, x] = sum of total[k] over a window around (x, y), 0 outside of the image
    result[y, x] = the k of the least box[k, y, x]
"""

from typing import Any

import halide as hl
import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps.propagation.comparison import WINDOW_RADIUS
from midframe.models.flowsep.steps.propagation.plain import CANDIDATES
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    cached_pipeline,
    channels_innermost,
    fetch_bilinear,
    in_one_loop,
    writable,
)

QUAD = 4
"""Channels are padded with zeros up to a multiple: a register holds all of a pixel."""

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
k = hl.Var("k")
n = hl.Var("n")
i = hl.Var("i")
task = hl.Var("task")


def choose_candidates(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """See `midframe.models.flowsep.steps.propagation.plain.choose_candidates`."""
    result = flow.new_empty(len(flow), *flow.shape[2:], dtype=torch.int32)
    channels = -(-first.shape[1] // QUAD) * QUAD
    _pipeline(channels)(
        channels_innermost(pad_channels(first, channels)),
        channels_innermost(pad_channels(second, channels)),
        buffer(flow),
        distance,
        writable(result),
    )
    return result


def pad_channels(frame: Tensor, channels: int) -> Tensor:
    return functional.pad(frame, (0, 0, 0, 0, 0, channels - frame.shape[1]))


@cached_pipeline
def _pipeline(channels: int) -> Pipeline:
    frames = [hl.ImageParam(hl.Float(32), 4, name) for name in ("first", "second")]
    flow = hl.ImageParam(hl.Float(32), 4, "flow")
    distance = hl.Param(hl.Int(32), "distance")
    width, height = flow.dim(0).extent(), flow.dim(1).extent()
    down = [hl.i32(step) for step, _ in CANDIDATES]
    right = [hl.i32(step) for _, step in CANDIDATES]
    candidate_x = hl.clamp(x + distance * hl.mux(k, right), 0, width - 1)
    candidate_y = hl.clamp(y + distance * hl.mux(k, down), 0, height - 1)
    # Positions in frame i for all candidates: the whole pixel before the position, and the
    # fraction beyond it.
    position = hl.Func("position")
    flow_x = flow[candidate_x, candidate_y, 2 * i, n]
    flow_y = flow[candidate_x, candidate_y, 2 * i + 1, n]
    left, fraction_x = split_position(x + flow_x, width)
    top, fraction_y = split_position(y + flow_y, height)
    position[x, i, k, y, n] = (left, top, fraction_x, fraction_y)

    def along_flow(frame: int) -> Any:
        source = position[x, frame, k, y, n]
        left, top, fraction_x, fraction_y = (source[component] for component in range(4))
        across = (left, hl.min(left + 1, width - 1), fraction_x)
        down = (top, hl.min(top + 1, height - 1), fraction_y)
        return fetch_bilinear(frames[frame], c, n, across, down, bf16=False)

    r = hl.RDom([(0, channels)], "r")
    difference = hl.Func("difference")
    summed = hl.Func("summed")
    total = hl.Func("total")
    difference[c, x, k, y, n] = hl.abs(along_flow(0) - along_flow(1))
    summed[x, k, y, n] = 0.0
    summed[x, k, y, n] += difference[r.x, x, k, y, n]
    # Not `summed` itself: Halide would use atomics for additions from parallel rows.
    total[x, k, y, n] = summed[x, k, y, n]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    padded = hl.Func("padded")
    column = hl.Func("column")
    box = hl.Func("box")
    result = hl.Func("result")
    nearest = total[hl.clamp(x, 0, width - 1), k, hl.clamp(y, 0, height - 1), n]
    padded[x, k, y, n] = hl.select(inside, nearest, 0.0)
    offsets = range(-WINDOW_RADIUS, WINDOW_RADIUS + 1)
    column[x, k, y, n] = sum((padded[x, k, y + offset, n] for offset in offsets), hl.f32(0))
    box[x, k, y, n] = sum((column[x + offset, k, y, n] for offset in offsets), hl.f32(0))
    least = box[x, 0, y, n]
    chosen = hl.i32(0)
    for number in range(1, len(CANDIDATES)):
        chosen = hl.select(box[x, number, y, n] < least, number, chosen)
        least = hl.min(least, box[x, number, y, n])
    result[x, y, n] = chosen

    # A task is a row. Differences are computed once for the whole frame (`total`), since each is in
    # 25 windows: first the positions of a row, vectorised over pixels, then the pixels one after
    # another with all their channels in one register (`summed`). The window is summed vertically
    # and then horizontally, with only a row of `column` stored.
    guarded = hl.TailStrategy.GuardWithIf
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    column.compute_at(result, task).vectorize(x, LANES, guarded)
    total.compute_root().reorder(k, x, y, n).fuse(y, n, task).parallel(task)
    summed.compute_at(total, k).update(0).atomic().vectorize(r.x)
    position.compute_at(total, task).bound(i, 0, 2).unroll(i).vectorize(x, LANES, guarded)
    in_one_loop(result, column, total, position)
    return Pipeline(result, *frames, flow, distance)


def split_position(position: Any, size: Any) -> tuple[Any, Any]:
    """Return the whole pixel before a position, clamped to the image, and the fraction beyond
    it."""
    inside = hl.clamp(position, 0.0, hl.cast(hl.Float(32), size - 1))
    before = hl.clamp(hl.cast(hl.Int(32), inside), 0, size - 1)  # NaN must not address memory
    return before, inside - hl.cast(hl.Float(32), before)
