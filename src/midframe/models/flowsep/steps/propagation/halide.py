"""The choice of flow propagation on the CPU: one Halide pipeline, all channels of a pixel at a
time.

    result[y, x] = the k of the least box[k, y, x]

over the candidates k, whose flows are the displacements of `halide_comparison`.
"""

import halide as hl
import torch
from torch import Tensor

from midframe.models.flowsep.steps.propagation.halide_comparison import (
    GUARDED,
    Comparison,
    i,
    k,
    n,
    pad_channels,
    task,
    x,
    y,
)
from midframe.models.flowsep.steps.propagation.reference import CANDIDATES
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    buffer_view,
    cached_pipeline,
    channels_innermost,
    in_one_loop,
)


def choose_candidates(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """See `midframe.models.flowsep.steps.propagation.reference.choose_candidates`."""
    result = flow.new_empty(len(flow), *flow.shape[2:], dtype=torch.int32)
    first, second = pad_channels(first), pad_channels(second)
    _pipeline(first.shape[1])(
        channels_innermost(first),
        channels_innermost(second),
        buffer(flow),
        distance,
        buffer_view(result),
    )
    return result


@cached_pipeline
def _pipeline(channels: int) -> Pipeline:
    flow = hl.ImageParam(hl.Float(32), 4, "flow")
    distance = hl.Param(hl.Int(32), "distance")
    width, height = flow.dim(0).extent(), flow.dim(1).extent()
    down = [hl.i32(step) for step, _ in CANDIDATES]
    right = [hl.i32(step) for _, step in CANDIDATES]
    candidate_x = hl.clamp(x + distance * hl.mux(k, right), 0, width - 1)
    candidate_y = hl.clamp(y + distance * hl.mux(k, down), 0, height - 1)
    flow_x = flow[candidate_x, candidate_y, 2 * i, n]
    flow_y = flow[candidate_x, candidate_y, 2 * i + 1, n]
    comparison = Comparison((flow_x, flow_y), width, height, channels)

    result = hl.Func("result")
    least = comparison.box[x, 0, y, n]
    chosen = hl.i32(0)
    for number in range(1, len(CANDIDATES)):
        chosen = hl.select(comparison.box[x, number, y, n] < least, number, chosen)
        least = hl.min(least, comparison.box[x, number, y, n])
    result[x, y, n] = chosen

    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, GUARDED)
    comparison.schedule(result, task)
    in_one_loop(result, comparison.column, comparison.total, comparison.position)
    return Pipeline(result, *comparison.frames, flow, distance)
