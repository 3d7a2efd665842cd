"""What a level of FlowSep's decoder reads, on the CPU: Halide pipelines that write into one tensor, channels innermost.

PyTorch takes as long for the dozen small steps of `aligned_plainly` as for the convolutions that read what they make.
"""

import halide as hl
import torch
from torch import Tensor

from midframe.ops import alignment
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    as_float,
    as_stored,
    between,
    buffer,
    fetched,
    in_one_loop,
    inner,
    natural_lanes,
    once,
    storage,
    writable,
)
from midframe.ops.halide_tools import serves_features as serves

__all__ = ["aligned", "serves"]

NAMES = ("x", "y", "c", "n", "i", "j", "task")
x, y, c, n, i, j, task = map(hl.Var, NAMES)


def aligned(features: Tensor, carried: Tensor | None, flow: Tensor, time: Tensor, radius: int) -> Tensor:
    """See `midframe.ops.alignment.aligned`."""
    half, (doubled, width, *size) = features.dtype == torch.bfloat16, features.shape
    parts = [width, width, (2 * radius + 1) ** 2 if radius else 0, carried.shape[1] if carried is not None else 0, 4, 1]
    result = features.new_empty(doubled // 2, *size, sum(parts))
    first, second, alike, before, where, when = torch.split(result, parts, dim=3)
    for frame, direction, target in zip(features.chunk(2), flow.chunk(2, 1), (first, second), strict=True):
        _warping(half)(inner(frame), buffer(direction), writable(target))
    if radius:
        narrow = size[1] < natural_lanes()
        _correlation(half, 2 * radius + 1, narrow)(writable(first), writable(second), writable(alike))
    if carried is not None:
        _enlarging(half)(inner(carried), writable(before))
    where.copy_(flow.permute(0, 2, 3, 1))
    when.copy_(time.view(-1, 1, 1, 1))
    return result.permute(0, 3, 1, 2)


@once
def _warping(half: bool) -> Pipeline:
    frame, flow = hl.ImageParam(storage(half), 4, "frame"), hl.ImageParam(hl.Float(32), 4, "flow")
    wide, high = frame.dim(1).extent(), frame.dim(2).extent()
    whole, part = hl.Func("whole"), hl.Func("part")
    places = [
        hl.clamp(hl.cast(hl.Float(32), at) + flow[x, y, axis, n], 0.0, hl.cast(hl.Float(32), size - 1))
        for axis, (at, size) in enumerate(((x, wide), (y, high)))
    ]
    whole[i, x, y, n] = hl.cast(hl.Int(32), hl.floor(hl.select(i == 0, *places)))
    part[i, x, y, n] = hl.select(i == 0, *places) - hl.floor(hl.select(i == 0, *places))
    left, above = (hl.clamp(whole[axis, x, y, n], 0, size - 1) for axis, size in enumerate((wide, high)))
    right, below = hl.min(left + 1, wide - 1), hl.min(above + 1, high - 1)
    result = hl.Func("result")
    across, down = (left, right, part[0, x, y, n]), (above, below, part[1, x, y, n])
    result[c, x, y, n] = as_stored(fetched(frame, c, n, across, down, half=half), half)
    _by_rows(result)
    for function in (whole, part):
        function.compute_at(result, task).bound(i, 0, 2).unroll(i).vectorize(x, LANES, hl.TailStrategy.GuardWithIf)
    return Pipeline(result, frame, flow)


@once
def _enlarging(half: bool) -> Pipeline:
    small = hl.ImageParam(storage(half), 4, "small")
    places = []
    for at, size in ((x, small.dim(1).extent()), (y, small.dim(2).extent())):
        before, part = between(at, 2)
        places.append((hl.clamp(before, 0, size - 1), hl.clamp(before + 1, 0, size - 1), part))
    result = hl.Func("result")
    result[c, x, y, n] = as_stored(fetched(small, c, n, *places, half=half), half)
    _by_rows(result)
    return Pipeline(result, small)


@once
def _correlation(half: bool, side: int, narrow: bool) -> Pipeline:
    lanes, guarded = natural_lanes(), hl.TailStrategy.GuardWithIf
    tail = guarded if narrow else hl.TailStrategy.ShiftInwards
    first, second = (hl.ImageParam(storage(half), 4, name) for name in ("first", "second"))
    channels, wide, high = (first.dim(axis).extent() for axis in range(3))
    r = hl.RDom([(0, channels)], "r")
    planes, scales = [], []
    for name, image in (("first", first), ("second", second)):
        inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
        value = as_float(image[c, hl.clamp(x, 0, wide - 1), hl.clamp(y, 0, high - 1), n], half)
        plane, squares, scale = (hl.Func(f"{part}_{name}") for part in ("plane", "squares", "scale"))
        plane[x, y, c, n] = hl.select(inside, value, 0.0)
        squares[x, y, n] = 0.0
        squares[x, y, n] += plane[x, y, r.x, n] ** 2
        scale[x, y, n] = 1.0 / hl.max(hl.sqrt(squares[x, y, n]), hl.f32(alignment.LEAST_LENGTH))
        # A row of all channels lies together: so many planes would lie on as many pages of memory.
        plane.compute_root().reorder_storage(x, c, y, n).reorder(x, c, y, n).vectorize(x, lanes, guarded).parallel(y)
        scale.compute_root().vectorize(x, lanes, guarded).parallel(y)
        squares.compute_at(scale, y).vectorize(x, lanes, guarded)
        squares.update(0).reorder(x, r.x).vectorize(x, lanes, guarded)
        planes.append(plane)
        scales.append(scale)
    reach = side // 2
    total, result = hl.Func("total"), hl.Func("result")
    total[x, j, y, i, n] = 0.0
    total[x, j, y, i, n] += planes[0][x, y, r.x, n] * planes[1][x + j - reach, y + i - reach, r.x, n]
    right, down = x + c % side - reach, y + c // side - reach
    lengths = scales[0][x, y, n] * scales[1][right, down, n]
    like = total[x, c % side, y, c // side, n] * lengths * alignment.CORRELATION_GAIN
    result[c, x, y, n] = as_stored(like, half)
    row, place = hl.Var("row"), hl.Var("place")
    result.bound(c, 0, side * side).split(c, row, place, side).reorder(place, x, row, y, n).unroll(place)
    result.fuse(y, n, task).parallel(task).vectorize(x, lanes, tail)
    # As many vectors as a row of displacements has: registers hold them, whatever their size.
    total.compute_at(result, x).vectorize(x, lanes).unroll(j).bound(j, 0, side)
    total.update(0).reorder(j, x, r.x).vectorize(x, lanes).unroll(j)
    in_one_loop(result, total, *planes, *scales)
    return Pipeline(result, first, second)


def _by_rows(result: hl.Func) -> None:
    """Rows side by side, and LANES channels of a pixel at a time."""
    result.reorder(c, x, y, n).fuse(y, n, task).parallel(task).vectorize(c, LANES, hl.TailStrategy.GuardWithIf)
