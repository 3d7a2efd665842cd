"""Adaptive convolution on the CPU, as Halide pipelines compiled for the processor at hand at their
first call.

With the output gradient g, kernels k of K x K taps (i, j) and the stride s:

    out[c, y, x] = sum_fij k[f, i, j, y, x] * frames[f, c, s * y + i, s * x + j]
    grad_k[f, i, j, y, x] = sum_c g[c, y, x] * frames[f, c, s * y + i, s * x + j]
    grad_frames[f, c, s * y + i, s * x + j] += k[f, i, j, y, x] * g[c, y, x]

A pixel's kernel is contiguous in memory, so a vector contains LANES neighbouring taps of one row of
one kernel. A row of 41 taps is three vectors, of which the last overlaps the second; repeated taps
are masked.

Frames are (x, y, c, f, n), kernels (j, i, f, x, y, n), outputs and their gradients (x, y, c, n).
"""

from typing import Any

import halide as hl
from torch import Tensor
from torch.nn import functional

from midframe.ops.adaptive.reference import taps_innermost
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    array,
    buffer,
    cached_pipeline,
    channel_groups,
    supports,
)

__all__ = ["adaptive_forward", "adaptive_frame_gradient", "adaptive_kernel_gradient", "supports"]

CHANNELS = 9
"""Colours filtered at a time, each with a register for its sums; frames with more are processed in
groups."""

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
f = hl.Var("f")
n = hl.Var("n")
j = hl.Var("j")
i = hl.Var("i")
lane = hl.Var("lane")
task = hl.Var("task")


def adaptive_forward(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Filter padded frames; shapes as in `midframe.ops.adaptive_convolution`."""
    taps = kernels.shape[2]
    result = frames.new_empty(len(frames), frames.shape[2], *kernels.shape[4:])
    weights = buffer(_pad_width(taps_innermost(kernels).float(), taps))
    frames = _pad_width(frames, taps)
    for group in channel_groups(frames.shape[2], CHANNELS):
        colours = frames[:, :, group]
        run = _forward_pipeline(colours.shape[2], taps)
        run(buffer(colours), weights, frames.shape[1], stride, hl.Buffer(array(result[:, group])))
    return result


def adaptive_kernel_gradient(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> Tensor:
    """Return the gradient of the kernels, (N, F, K, K, H, W), in their type, taps innermost in
    memory."""
    taps = kernels.shape[2]
    frames = _pad_width(frames, taps)
    count, frame_count, _, _, height, width = kernels.shape
    total = None
    for group in channel_groups(frames.shape[2], CHANNELS):
        of_group = frames.new_empty(count, height, width, frame_count, taps, max(taps, LANES))
        colours = gradient[:, group]
        run = _kernel_pipeline(colours.shape[1])
        run(buffer(colours), buffer(frames[:, :, group]), stride, hl.Buffer(array(of_group)))
        total = of_group if total is None else total.add_(of_group)
    assert total is not None, "frames have a colour at least"
    return total[..., :taps].to(kernels.dtype).permute(0, 3, 4, 5, 1, 2)


def adaptive_frame_gradient(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> Tensor:
    """Return the gradient of the padded frames, in their shape."""
    taps = kernels.shape[2]
    result = _pad_width(frames.new_empty(frames.shape), taps)
    weights = buffer(_pad_width(taps_innermost(kernels).float(), taps))
    run = _frame_pipeline(max(taps, LANES))
    run(
        buffer(gradient),
        weights,
        stride,
        taps,
        kernels.shape[5],
        kernels.shape[4],
        hl.Buffer(array(result)),
    )
    return result[..., : frames.shape[4]].contiguous()


def _pad_width(tensor: Tensor, taps: int) -> Tensor:
    """Pad the innermost dimension so that a row of taps fills at least one vector."""
    return functional.pad(tensor, (0, LANES - taps)) if taps < LANES else tensor


@cached_pipeline
def _forward_pipeline(channels: int, taps: int) -> Pipeline:
    frames = hl.ImageParam(hl.Float(32), 5, "frames")
    kernels = hl.ImageParam(hl.Float(32), 6, "kernels")
    frame_count = hl.Param(hl.Int(32), "frame_count")
    stride = hl.Param(hl.Int(32), "stride")
    r = hl.RDom([(0, taps), (0, frame_count)])
    tap_row, frame = r.x, r.y

    # Algorithm: one update for each vector of a row of taps; it sums over rows and frames.
    lane_sum = hl.Func("lane_sum")
    result = hl.Func("result")
    lane_sum[lane, c, x, y, n] = 0.0
    for summed in range(0, taps, LANES):  # taps of the row that the vectors before have summed
        start = max(0, min(summed, taps - LANES))
        column = start + lane
        weight = kernels[column, tap_row, frame, x, y, n]
        if start < summed:
            weight = hl.select(column < summed, 0.0, weight)
        lane_sum[lane, c, x, y, n] += (
            weight * frames[x * stride + column, y * stride + tap_row, c, frame, n]
        )
    result[x, y, c, n] = _tree_sum([lane_sum[k, c, x, y, n] for k in range(LANES)])

    # Schedule: a task is a row of pixels. For each pixel the LANES sums of every colour stay in a
    # register over all taps of all frames; they are added once at the end.
    result.bound(c, 0, channels).reorder(c, x, y, n).unroll(c).fuse(y, n, task).parallel(task)
    lane_sum.compute_at(result, x).vectorize(lane, LANES).unroll(c).bound(lane, 0, LANES)
    for index in range(lane_sum.num_update_definitions()):
        update = lane_sum.update(index)
        update.reorder(lane, c, tap_row, frame).vectorize(lane, LANES).unroll(c)
    return Pipeline(result, frames, kernels, frame_count, stride)


def _tree_sum(terms: list[Any]) -> Any:
    """Add neighbouring terms, then neighbouring sums: additions that do not wait for each other."""
    while len(terms) > 1:
        terms = [sum(terms[k + 1 : k + 2], terms[k]) for k in range(0, len(terms), 2)]
    return terms[0]


@cached_pipeline
def _kernel_pipeline(channels: int) -> Pipeline:
    gradient = hl.ImageParam(hl.Float(32), 4, "gradient")
    frames = hl.ImageParam(hl.Float(32), 5, "frames")
    stride = hl.Param(hl.Int(32), "stride")
    colour_gradient = hl.Func("colour_gradient")
    result = hl.Func("result")
    colour_gradient[c, x, y, n] = gradient[x, y, c, n]
    terms = [
        colour_gradient[k, x, y, n] * frames[x * stride + j, y * stride + i, k, f, n]
        for k in range(channels)
    ]
    result[j, i, f, x, y, n] = _tree_sum(terms)

    # A task is a row of pixels; the taps of a kernel's row are vectorised, as they are contiguous
    # in memory, and the gradient of a pixel's colours is loaded once.
    result.vectorize(j, LANES, hl.TailStrategy.ShiftInwards).fuse(y, n, task).parallel(task)
    colour_gradient.compute_at(result, x)
    return Pipeline(result, gradient, frames, stride)


@cached_pipeline
def _frame_pipeline(row_length: int) -> Pipeline:
    """Build the gradient of the frames, in scatter form: a pixel's gradient is added to all pixels
    under its kernel.

    Args:
        row_length: taps of a kernel's row in memory.
    """
    gradient = hl.ImageParam(hl.Float(32), 4, "gradient")
    kernels = hl.ImageParam(hl.Float(32), 6, "kernels")
    stride = hl.Param(hl.Int(32), "stride")
    taps = hl.Param(hl.Int(32), "taps")
    columns = hl.Param(hl.Int(32), "columns")
    rows = hl.Param(hl.Int(32), "rows")
    r = hl.RDom([(0, row_length), (0, taps), (0, columns), (0, rows)])
    tap_column, tap_row, column, row = r.x, r.y, r.z, r.w
    result = hl.Func("result")
    result[x, y, c, f, n] = 0.0
    result[column * stride + tap_column, row * stride + tap_row, c, f, n] += (
        gradient[column, row, c, n] * kernels[tap_column, tap_row, f, column, row, n]
    )

    # A task is a frame of a sample: pixels of one frame are not parallel, as their kernels overlap.
    result.fuse(f, n, task).parallel(task).vectorize(x, LANES, hl.TailStrategy.GuardWithIf)
    scatter = result.update(0).reorder(tap_column, tap_row, c, column, row, f, n)
    scatter.fuse(f, n, task).parallel(task)
    # The lanes of a vector write to neighbours, never to one place.
    scatter.allow_race_conditions().vectorize(tap_column, LANES, hl.TailStrategy.GuardWithIf)
    return Pipeline(result, gradient, kernels, stride, taps, columns, rows)
