"""The choice of dominant motions on the CPU: one Halide pipeline."""

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
from midframe.models.flowsep.steps.propagation.halide import QUAD, pad_channels, position
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    cached_pipeline,
    channels_innermost,
    fetch_bilinear,
    in_one_loop,
    lerp,
    writable,
)

FIRST, SECOND = 0, 1
"""Numbers of both frames."""
WINDOW_AREA = (2 * WINDOW_RADIUS + 1) ** 2
"""Differences are sums over windows and channels here, not means."""

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
k = hl.Var("k")
"""0 for a pixel's own flow, otherwise one more than the index of a motion."""
n = hl.Var("n")
i = hl.Var("i")
task = hl.Var("task")


def choose_motions(
    first: Tensor, second: Tensor, flow: Tensor, motions: Tensor, t: Tensor
) -> Tensor:
    """See `midframe.models.flowsep.steps.propagation.dominant_motions.choose_motions`."""
    result = torch.zeros(len(flow), *flow.shape[2:], dtype=torch.int32)
    used = int((motions < NO_MOTION).all(2).sum(1).max())  # the most frequent ones come first
    if used:
        channels = -(-first.shape[1] // QUAD) * QUAD
        _pipeline(channels)(
            channels_innermost(pad_channels(first, channels)),
            channels_innermost(pad_channels(second, channels)),
            buffer(flow.contiguous()),
            buffer(motions[:, :used].contiguous()),
            buffer(t.reshape(-1).contiguous()),
            TOLERANCE * WINDOW_AREA * first.shape[1],
            writable(result),
        )
    return result


@cached_pipeline
def _pipeline(channels: int) -> Pipeline:
    frames = [hl.ImageParam(hl.Float(32), 4, name) for name in ("first", "second")]
    flow = hl.ImageParam(hl.Float(32), 4, "flow")  # (x, y, 4, n)
    motions = hl.ImageParam(hl.Float(32), 3, "motions")  # (2, count, n), x before y
    times = hl.ImageParam(hl.Float(32), 1, "times")
    tolerance = hl.Param(hl.Float(32), "tolerance")
    width, height = flow.dim(0).extent(), flow.dim(1).extent()

    outside = OUTSIDE * channels * WINDOW_AREA

    # Positions that are compared: along the pixel's own flow (k = 0), otherwise the pixel itself in
    # the first frame, and where the motion leads to in the second.
    motion = hl.max(k - 1, 0)
    near = hl.Func("near")
    moved_x = hl.select(k == 0, flow[x, y, 2 * i, n], i * motions[0, motion, n])
    moved_y = hl.select(k == 0, flow[x, y, 2 * i + 1, n], i * motions[1, motion, n])
    left, part_x = position(x, moved_x, width)
    top, part_y = position(y, moved_y, height)
    near[x, i, k, y, n] = (left, top, part_x, part_y)

    def along(frame: int) -> Any:
        left, top, part_x, part_y = (near[x, frame, k, y, n][number] for number in range(4))
        across = (left, hl.min(left + 1, width - 1), part_x)
        down = (top, hl.min(top + 1, height - 1), part_y)
        return fetch_bilinear(frames[frame], c, n, across, down, bf16=False)

    r = hl.RDom([(0, channels)], "r")
    absolute = hl.Func("absolute")
    summed = hl.Func("summed")
    total = hl.Func("total")
    absolute[c, x, k, y, n] = hl.abs(along(FIRST) - along(SECOND))
    summed[x, k, y, n] = 0.0
    summed[x, k, y, n] += absolute[r.x, x, k, y, n]
    total[x, k, y, n] = summed[x, k, y, n]

    # The mean over a window, zero outside of the frame.
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    nearest = total[hl.clamp(x, 0, width - 1), k, hl.clamp(y, 0, height - 1), n]
    padded = hl.Func("padded")
    column = hl.Func("column")
    box = hl.Func("box")
    offsets = range(-WINDOW_RADIUS, WINDOW_RADIUS + 1)
    padded[x, k, y, n] = hl.select(within, nearest, 0.0)
    column[x, k, y, n] = sum((padded[x, k, y + offset, n] for offset in offsets), hl.f32(0))
    box[x, k, y, n] = sum((column[x + offset, k, y, n] for offset in offsets), hl.f32(0))
    difference = hl.Func("difference")
    leads_x = x + motions[0, motion, n]
    leads_y = y + motions[1, motion, n]
    leads_inside = (k == 0) | _is_inside(leads_x, leads_y, width, height)
    difference[x, k, y, n] = hl.select(leads_inside, box[x, k, y, n], outside)

    def sample(number: int, right: Any, down: Any) -> Any:
        """Return the difference along a motion, `right` and `down` of the pixel."""
        left, part_x = position(x, right, width)
        top, part_y = position(y, down, height)
        next_left, next_top = hl.min(left + 1, width - 1), hl.min(top + 1, height - 1)
        above = lerp(
            difference[left, number, top, n], difference[next_left, number, top, n], part_x
        )
        below = lerp(
            difference[left, number, next_top, n],
            difference[next_left, number, next_top, n],
            part_x,
        )
        inside = _is_inside(x + right, y + down, width, height)
        return hl.select(inside, lerp(above, below, part_y), outside)

    # The candidate with the least difference, if this is less than that of the own flow. A motion
    # that differs from the own flow's is preferred to it.
    m = hl.RDom([(1, motions.dim(1).extent())], "m")
    right, down = motions[0, m - 1, n], motions[1, m - 1, n]
    largest = hl.max(
        sample(m, -times[n] * right, -times[n] * down),
        hl.max(
            sample(m, flow[x, y, 0, n], flow[x, y, 1, n]),
            sample(m, flow[x, y, 2, n] - right, flow[x, y, 3, n] - down),
        ),
    )
    distance = hl.max(
        hl.abs(flow[x, y, 2, n] - flow[x, y, 0, n] - right),
        hl.abs(flow[x, y, 3, n] - flow[x, y, 1, n] - down),
    )
    preferred = largest * hl.f32(PREFERENCE) - tolerance
    largest = hl.select(distance > AMBIGUOUS_DISTANCE, preferred, largest)
    best = hl.Func("best")
    result = hl.Func("result")
    best[x, y, n] = (hl.i32(0), difference[x, 0, y, n])
    chosen, least = best[x, y, n][0], best[x, y, n][1]
    best[x, y, n] = (
        hl.select(largest < least, hl.cast(hl.Int(32), m), chosen),
        hl.min(largest, least),
    )
    result[x, y, n] = best[x, y, n][0]

    # As in flow propagation: differences of all pixels first, then the sums over windows. These are
    # stored too, since they are read at positions that the flows determine.
    guarded = hl.TailStrategy.GuardWithIf
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    best.compute_at(result, task).vectorize(x, LANES, guarded)
    best.update(0).vectorize(x, LANES, guarded)
    difference.compute_root().reorder(x, k, y, n).fuse(y, n, task).parallel(task).vectorize(
        x, LANES, guarded
    )
    column.compute_at(difference, k).vectorize(x, LANES, guarded)
    total.compute_root().reorder(k, x, y, n).fuse(y, n, task).parallel(task)
    summed.compute_at(total, k).update(0).atomic().vectorize(r.x)
    near.compute_at(total, task).bound(i, 0, 2).unroll(i).vectorize(x, LANES, guarded)
    in_one_loop(result, best, difference, column, total, near)
    return Pipeline(result, *frames, flow, motions, times, tolerance)


def _is_inside(column: Any, row: Any, width: Any, height: Any) -> Any:
    """Return whether a position is within the frame."""
    return (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
