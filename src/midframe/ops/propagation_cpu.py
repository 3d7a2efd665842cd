"""Which flow a pixel takes over, on the CPU: one Halide pipeline, all channels of a pixel at a time."""

import halide as hl
import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.halide_tools import LANES, Pipeline, buffer, fetched, in_one_loop, inner, once, serves, writable
from midframe.ops.propagation import AROUND, OWN_FIRST

__all__ = ["choices", "serves"]

QUAD = 4
"""Channels are read by so many at a time, with zeros for those that are not there."""

NAMES = ("x", "y", "c", "k", "n", "i", "task")
x, y, c, k, n, i, task = map(hl.Var, NAMES)


def choices(first: Tensor, second: Tensor, flow: Tensor, step: int) -> Tensor:
    """See `midframe.ops.propagation.choices`."""
    result = flow.new_empty(len(flow), *flow.shape[2:], dtype=torch.int32)
    channels = -(-first.shape[1] // QUAD) * QUAD
    frames = (functional.pad(frame, (0, 0, 0, 0, 0, channels - frame.shape[1])) for frame in (first, second))
    _choosing(channels)(*map(inner, frames), buffer(flow), step, writable(result))
    return result


@once
def _choosing(channels: int) -> Pipeline:
    frames = [hl.ImageParam(hl.Float(32), 4, name) for name in ("first", "second")]
    flow, step = hl.ImageParam(hl.Float(32), 4, "flow"), hl.Param(hl.Int(32), "step")
    size = wide, high = flow.dim(0).extent(), flow.dim(1).extent()
    down, right = ([hl.i32(number) for number in axis] for axis in zip(*OWN_FIRST, strict=True))
    giver = [
        hl.clamp(own + step * hl.mux(k, steps), 0, length - 1)
        for own, steps, length in zip((x, y), (right, down), size, strict=True)
    ]
    # Where each frame is fetched from, for all candidates: the whole pixel before it, and how far it is from there.
    near = hl.Func("near")
    before, parts = [], []
    for axis, (own, length) in enumerate(zip((x, y), size, strict=True)):
        place = hl.clamp(own + flow[giver[0], giver[1], 2 * i + axis, n], 0.0, hl.cast(hl.Float(32), length - 1))
        before.append(hl.clamp(hl.cast(hl.Int(32), place), 0, length - 1))  # what is no number leads nowhere
        parts.append(place - hl.cast(hl.Float(32), before[axis]))
    near[x, i, k, y, n] = (*before, *parts)

    def of(frame: int) -> hl.Expr:
        known = near[x, frame, k, y, n]
        across, down = ((known[axis], hl.min(known[axis] + 1, size[axis] - 1), known[2 + axis]) for axis in range(2))
        return fetched(frames[frame], c, n, across, down, half=False)

    r = hl.RDom([(0, channels)], "r")
    apart, summed, total = hl.Func("apart"), hl.Func("summed"), hl.Func("total")
    apart[c, x, k, y, n] = hl.abs(of(0) - of(1))
    summed[x, k, y, n] = 0.0
    summed[x, k, y, n] += apart[r.x, x, k, y, n]
    total[x, k, y, n] = summed[x, k, y, n]  # not at once: what rows side by side add to, Halide adds to by atomics
    inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
    padded, column, box, result = (hl.Func(name) for name in ("padded", "column", "box", "result"))
    padded[x, k, y, n] = hl.select(inside, total[hl.clamp(x, 0, wide - 1), k, hl.clamp(y, 0, high - 1), n], 0.0)
    about = range(-AROUND, AROUND + 1)
    column[x, k, y, n] = sum((padded[x, k, y + number, n] for number in about), hl.f32(0))
    box[x, k, y, n] = sum((column[x + number, k, y, n] for number in about), hl.f32(0))
    least, taken = box[x, 0, y, n], hl.i32(0)
    for number in range(1, len(OWN_FIRST)):
        taken = hl.select(box[x, number, y, n] < least, number, taken)
        least = hl.min(least, box[x, number, y, n])
    result[x, y, n] = taken

    guarded = hl.TailStrategy.GuardWithIf
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, guarded)
    column.compute_at(result, task).vectorize(x, LANES, guarded)
    total.compute_root().reorder(k, x, y, n).fuse(y, n, task).parallel(task)
    summed.compute_at(total, k).update(0).atomic().vectorize(r.x)
    near.compute_at(total, task).bound(i, 0, 2).unroll(i).vectorize(x, LANES, guarded)
    in_one_loop(result, column, total, near)
    return Pipeline(result, *frames, flow, step)
