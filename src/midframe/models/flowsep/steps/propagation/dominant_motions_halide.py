"""The choice of dominant motions on the CPU: one Halide pipeline.

The comparison (`halide_comparison`) is that of the pixel's own flow for k = 0, otherwise that of
motion k - 1 from the pixel of the first frame. The result is a minimum over k of samples of it.
"""

from typing import Any

import halide as hl
import torch
from torch import Tensor

from midframe.models.flowsep.steps.propagation.comparison import WINDOW_RADIUS
from midframe.models.flowsep.steps.propagation.dominant_motions import (
    AMBIGUOUS_DISTANCE,
    NO_MOTION,
    OUTSIDE,
    PREFERENCE,
    TOLERANCE,
)
from midframe.models.flowsep.steps.propagation.halide_comparison import (
    GUARDED,
    Comparison,
    i,
    k,
    n,
    pad_channels,
    split_position,
    task,
    x,
    y,
)
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    buffer_view,
    cached_pipeline,
    channels_innermost,
    in_one_loop,
    lerp,
)

WINDOW_AREA = (2 * WINDOW_RADIUS + 1) ** 2
"""Differences are sums over windows and channels here, not means."""


def choose_motions(
    first: Tensor, second: Tensor, flow: Tensor, motions: Tensor, t: Tensor
) -> Tensor:
    """See `midframe.models.flowsep.steps.propagation.dominant_motions.choose_motions`."""
    result = torch.zeros(len(flow), *flow.shape[2:], dtype=torch.int32)
    used = int((motions < NO_MOTION).all(2).sum(1).max())  # the most frequent ones come first
    if used:
        tolerance = TOLERANCE * WINDOW_AREA * first.shape[1]
        first, second = pad_channels(first), pad_channels(second)
        _pipeline(first.shape[1])(
            channels_innermost(first),
            channels_innermost(second),
            buffer(flow.contiguous()),
            buffer(motions[:, :used].contiguous()),
            buffer(t.reshape(-1).contiguous()),
            tolerance,
            buffer_view(result),
        )
    return result


@cached_pipeline
def _pipeline(channels: int) -> Pipeline:
    flow = hl.ImageParam(hl.Float(32), 4, "flow")  # (x, y, 4, n)
    motions = hl.ImageParam(hl.Float(32), 3, "motions")  # (2, count, n), x before y
    times = hl.ImageParam(hl.Float(32), 1, "times")
    tolerance = hl.Param(hl.Float(32), "tolerance")
    width, height = flow.dim(0).extent(), flow.dim(1).extent()

    motion = hl.max(k - 1, 0)
    displacement = (
        hl.select(k == 0, flow[x, y, 2 * i, n], i * motions[0, motion, n]),
        hl.select(k == 0, flow[x, y, 2 * i + 1, n], i * motions[1, motion, n]),
    )
    comparison = Comparison(displacement, width, height, channels)
    difference = hl.Func("difference")
    leads_x, leads_y = x + motions[0, motion, n], y + motions[1, motion, n]
    leads_inside = (k == 0) | _is_inside(leads_x, leads_y, width, height)
    outside = OUTSIDE * channels * WINDOW_AREA
    difference[x, k, y, n] = hl.select(leads_inside, comparison.box[x, k, y, n], outside)

    candidate = hl.RDom([(1, motions.dim(1).extent())], "candidate")
    to_first = (flow[x, y, 0, n], flow[x, y, 1, n])
    to_second = (flow[x, y, 2, n], flow[x, y, 3, n])
    right, down = motions[0, candidate - 1, n], motions[1, candidate - 1, n]
    offsets = (
        (-times[n] * right, -times[n] * down),
        to_first,
        (to_second[0] - right, to_second[1] - down),
    )
    largest = _largest_sample(difference, candidate, offsets, outside, (width, height))
    distance = hl.max(
        hl.abs(to_second[0] - to_first[0] - right), hl.abs(to_second[1] - to_first[1] - down)
    )
    preferred = largest * hl.f32(PREFERENCE) - tolerance
    best = _least(
        difference, candidate, hl.select(distance > AMBIGUOUS_DISTANCE, preferred, largest)
    )
    result = hl.Func("result")
    result[x, y, n] = best[x, y, n][0]
    _schedule(result, best, difference, comparison)
    return Pipeline(result, *comparison.frames, flow, motions, times, tolerance)


def _largest_sample(
    difference: hl.Func,
    candidate: Any,
    offsets: tuple[tuple[Any, Any], ...],
    outside: float,
    size: tuple[Any, Any],
) -> Any:
    """Return the largest difference of a candidate at some offsets from a pixel, along x and along
    y; bilinear, `outside` beyond the frame."""
    width, height = size

    def sample(right: Any, down: Any) -> Any:
        left, fraction_x = split_position(x + right, width)
        top, fraction_y = split_position(y + down, height)
        next_left, next_top = hl.min(left + 1, width - 1), hl.min(top + 1, height - 1)
        above, below = (
            lerp(
                difference[left, candidate, row, n],
                difference[next_left, candidate, row, n],
                fraction_x,
            )
            for row in (top, next_top)
        )
        inside = _is_inside(x + right, y + down, width, height)
        return hl.select(inside, lerp(above, below, fraction_y), outside)

    crossing, at_first, at_second = (sample(*offset) for offset in offsets)
    return hl.max(crossing, hl.max(at_first, at_second))


def _least(difference: hl.Func, candidate: Any, value: Any) -> hl.Func:
    """Return the candidate of the least value, if it is less than the difference of the own flow
    (0), and that value."""
    best = hl.Func("best")
    best[x, y, n] = (hl.i32(0), difference[x, 0, y, n])
    chosen, least = best[x, y, n][0], best[x, y, n][1]
    best[x, y, n] = (
        hl.select(value < least, hl.cast(hl.Int(32), candidate), chosen),
        hl.min(value, least),
    )
    return best


def _schedule(result: hl.Func, best: hl.Func, difference: hl.Func, comparison: Comparison) -> None:
    """Compute the sums over windows of all pixels first, and store them, since they are read at
    positions that the flows determine."""
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, GUARDED)
    best.compute_at(result, task).vectorize(x, LANES, GUARDED)
    best.update(0).vectorize(x, LANES, GUARDED)
    difference.compute_root().reorder(x, k, y, n).fuse(y, n, task).parallel(task)
    difference.vectorize(x, LANES, GUARDED)
    comparison.schedule(difference, k)
    in_one_loop(result, best, difference, comparison.column, comparison.total, comparison.position)


def _is_inside(column: Any, row: Any, width: Any, height: Any) -> Any:
    """Return whether a position is within the frame."""
    return (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
