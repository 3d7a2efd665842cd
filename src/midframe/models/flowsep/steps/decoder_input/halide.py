"""The decoder's input on the CPU: Halide pipelines that write into one tensor, channels innermost.

PyTorch takes as long for the dozen small steps of the plain implementation as for the convolutions
after them.
"""

from typing import Any

import halide as hl
import torch
from torch import Tensor

from midframe.models.flowsep.steps.decoder_input.reference import (
    CORRELATION_GAIN,
    MIN_LENGTH,
    pad_channels,
)
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    as_float,
    as_stored,
    buffer,
    buffer_view,
    cached_pipeline,
    channels_innermost,
    fetch_bilinear,
    in_one_loop,
    natural_lanes,
    storage,
    upsampling_source,
)

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
i = hl.Var("i")
j = hl.Var("j")
task = hl.Var("task")


def decoder_input(
    features: Tensor,
    carried: Tensor | None,
    flow: Tensor,
    t: Tensor,
    radius: int,
    multiple: int = 1,
) -> Tensor:
    """See `Steps.decoder_input`. Each pipeline writes its channels of the result."""
    bf16 = features.dtype == torch.bfloat16
    doubled, channels, rows, columns = features.shape
    side = 2 * radius + 1
    displacements = side**2 if radius else 0
    depth = carried.shape[1] if carried is not None else 0
    sizes = [channels, channels, displacements, depth, flow.shape[1], 1]
    result = features.new_empty(doubled // 2, rows, columns, sum(sizes))
    first, second, correlation, upsampled, flow_output, t_output = torch.split(result, sizes, dim=3)
    for frame, flow_to_frame, warped in zip(
        features.chunk(2), flow.chunk(2, 1), (first, second), strict=True
    ):
        _warp(bf16)(channels_innermost(frame), buffer(flow_to_frame), buffer_view(warped))
    if radius:
        narrow = columns < natural_lanes()
        run = _correlate(bf16, side, narrow)
        run(buffer_view(first), buffer_view(second), buffer_view(correlation))
    if carried is not None:
        _upsample(bf16)(channels_innermost(carried), buffer_view(upsampled))
    flow_output.copy_(flow.permute(0, 2, 3, 1))
    t_output.copy_(t.view(-1, 1, 1, 1))
    return pad_channels(result.permute(0, 3, 1, 2), multiple)


@cached_pipeline
def _warp(bf16: bool) -> Pipeline:
    """Build the sampling of features (c, x, y, n) along a flow (x, y, axis, n), bilinear."""
    frame = hl.ImageParam(storage(bf16), 4, "frame")
    flow = hl.ImageParam(hl.Float(32), 4, "flow")
    width, height = frame.dim(1).extent(), frame.dim(2).extent()
    whole = hl.Func("whole")
    fraction = hl.Func("fraction")
    positions = [
        hl.clamp(
            hl.cast(hl.Float(32), own) + flow[x, y, axis, n], 0.0, hl.cast(hl.Float(32), size - 1)
        )
        for axis, (own, size) in enumerate(((x, width), (y, height)))
    ]
    position = hl.select(i == 0, *positions)  # i is the axis
    whole[i, x, y, n] = hl.cast(hl.Int(32), hl.floor(position))
    fraction[i, x, y, n] = position - hl.floor(position)
    left = hl.clamp(whole[0, x, y, n], 0, width - 1)  # clamped again: NaN must not address memory
    above = hl.clamp(whole[1, x, y, n], 0, height - 1)
    across = (left, hl.min(left + 1, width - 1), fraction[0, x, y, n])
    down = (above, hl.min(above + 1, height - 1), fraction[1, x, y, n])
    result = hl.Func("result")
    result[c, x, y, n] = as_stored(fetch_bilinear(frame, c, n, across, down, bf16=bf16), bf16)
    # The positions of the pixels of a row are computed for many pixels at once; then their channels
    # are sampled for one pixel after another.
    _schedule_by_rows(result)
    for function in (whole, fraction):
        function.compute_at(result, task).bound(i, 0, 2).unroll(i)
        function.vectorize(x, LANES, hl.TailStrategy.GuardWithIf)
    return Pipeline(result, frame, flow)


@cached_pipeline
def _upsample(bf16: bool) -> Pipeline:
    """Build the upsampling by 2 of features (c, x, y, n)."""
    small = hl.ImageParam(storage(bf16), 4, "small")
    neighbours = []
    for pixel, size in ((x, small.dim(1).extent()), (y, small.dim(2).extent())):
        before, fraction = upsampling_source(pixel, 2)
        after = hl.clamp(before + 1, 0, size - 1)
        neighbours.append((hl.clamp(before, 0, size - 1), after, fraction))
    result = hl.Func("result")
    result[c, x, y, n] = as_stored(fetch_bilinear(small, c, n, *neighbours, bf16=bf16), bf16)
    _schedule_by_rows(result)
    return Pipeline(result, small)


@cached_pipeline
def _correlate(bf16: bool, side: int, narrow: bool) -> Pipeline:
    """Build the correlation of unit vectors over `side` x `side` displacements, (c, x, y, n) like
    the features: c = `side` * i + j.

    Args:
        bf16: features are bfloat16, otherwise float32.
        side: an odd number.
        narrow: rows are shorter than a register.
    """
    lanes = natural_lanes()
    guarded = hl.TailStrategy.GuardWithIf
    tail = guarded if narrow else hl.TailStrategy.ShiftInwards
    first = hl.ImageParam(storage(bf16), 4, "first")
    second = hl.ImageParam(storage(bf16), 4, "second")
    channels = first.dim(0).extent()
    r = hl.RDom([(0, channels)], "r")
    first_plane, first_scale = _planes(first, "first", r, bf16)
    second_plane, second_scale = _planes(second, "second", r, bf16)
    radius = side // 2
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, j, y, i, n] = 0.0
    displaced = second_plane[x + j - radius, y + i - radius, r.x, n]
    total[x, j, y, i, n] += first_plane[x, y, r.x, n] * displaced
    second_x, second_y = x + c % side - radius, y + c // side - radius
    scale = first_scale[x, y, n] * second_scale[second_x, second_y, n]
    correlation = total[x, c % side, y, c // side, n] * scale * CORRELATION_GAIN
    result[c, x, y, n] = as_stored(correlation, bf16)
    # A task is a row of pixels. For each row of displacements, `lanes` pixels are multiplied with
    # all displacements of that row together: `side` accumulators, which fit into registers, and
    # each value of the first frame is loaded once for all of them.
    row = hl.Var("row")
    column = hl.Var("column")  # of displacements
    result.bound(c, 0, side * side).split(c, row, column, side).reorder(column, x, row, y, n)
    result.unroll(column).fuse(y, n, task).parallel(task).vectorize(x, lanes, tail)
    total.compute_at(result, x).vectorize(x, lanes).unroll(j).bound(j, 0, side)
    total.update(0).reorder(j, x, r.x).vectorize(x, lanes).unroll(j)
    in_one_loop(result, total, first_plane, second_plane, first_scale, second_scale)
    return Pipeline(result, first, second)


def _planes(image: hl.ImageParam, name: str, r: hl.RDom, bf16: bool) -> tuple[hl.Func, hl.Func]:
    """Return features with pixels innermost, 0 outside, and the factors that normalise them to
    length 1."""
    width, height = image.dim(1).extent(), image.dim(2).extent()
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    value = as_float(image[c, hl.clamp(x, 0, width - 1), hl.clamp(y, 0, height - 1), n], bf16)
    plane = hl.Func(f"plane_{name}")
    squares = hl.Func(f"squares_{name}")
    scale = hl.Func(f"scale_{name}")
    plane[x, y, c, n] = hl.select(inside, value, 0.0)
    squares[x, y, n] = 0.0
    squares[x, y, n] += plane[x, y, r.x, n] ** 2
    scale[x, y, n] = 1.0 / hl.max(hl.sqrt(squares[x, y, n]), hl.f32(MIN_LENGTH))
    lanes = natural_lanes()
    guarded = hl.TailStrategy.GuardWithIf
    # A row of all channels is contiguous: separate planes would be on as many pages of memory.
    plane.compute_root().reorder_storage(x, c, y, n).reorder(x, c, y, n)
    plane.vectorize(x, lanes, guarded).parallel(y)
    scale.compute_root().vectorize(x, lanes, guarded).parallel(y)
    squares.compute_at(scale, y).vectorize(x, lanes, guarded)
    squares.update(0).reorder(x, r.x).vectorize(x, lanes, guarded)
    return plane, scale


def _schedule_by_rows(result: Any) -> None:
    """Compute rows in parallel, and LANES channels of a pixel at a time."""
    result.reorder(c, x, y, n).fuse(y, n, task).parallel(task)
    result.vectorize(c, LANES, hl.TailStrategy.GuardWithIf)
