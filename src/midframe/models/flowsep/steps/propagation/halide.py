"""The choice of flow propagation on the CPU: one Halide pipeline, all channels of a pixel at a
time."""

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
"""Channels that are read at a time, with zeros for missing ones."""

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
    # Positions in each frame for all candidates: the whole pixel before the position, and the
    # fraction beyond it.
    near = hl.Func("near")
    flow_x = flow[candidate_x, candidate_y, 2 * i, n]
    flow_y = flow[candidate_x, candidate_y, 2 * i + 1, n]
    left, part_x = position(x, flow_x, width)
    top, part_y = position(y, flow_y, height)
    near[x, i, k, y, n] = (left, top, part_x, part_y)

    def along_flow(frame: int) -> Any:
        place = near[x, frame, k, y, n]
        left = place[0]
        top = place[1]
        across = (left, hl.min(left + 1, width - 1), place[2])
        down = (top, hl.min(top + 1, height - 1), place[3])
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
    # 25 windows: first the positions of a row, vectorised over pixels (`near`), then the pixels one
    # after another with all their channels in one register (`summed`). The window is summed
    # vertically and then horizontally, with only a row of `column` stored.
    guarded = hl.TailStrategy.GuardWithIf
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    column.compute_at(result, task).vectorize(x, LANES, guarded)
    total.compute_root().reorder(k, x, y, n).fuse(y, n, task).parallel(task)
    summed.compute_at(total, k).update(0).atomic().vectorize(r.x)
    near.compute_at(total, task).bound(i, 0, 2).unroll(i).vectorize(x, LANES, guarded)
    in_one_loop(result, column, total, near)
    return Pipeline(result, *frames, flow, distance)


def position(own: Any, flow: Any, size: Any) -> tuple[Any, Any]:
    """Return the whole pixel before the position of a flow, and the fraction beyond it."""
    place = hl.clamp(own + flow, 0.0, hl.cast(hl.Float(32), size - 1))
    before = hl.clamp(hl.cast(hl.Int(32), place), 0, size - 1)  # NaN must not address memory
    return before, place - hl.cast(hl.Float(32), before)
