"""Local correlation on the CPU, as Halide pipelines compiled for the processor at hand.

LANES neighbouring pixels are computed at a time. Forward, the sums of one row of displacements stay
in registers during the loop over features; backward, those of some features during the loop over
displacements.
"""

from typing import Any

import halide as hl
import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.halide_tools import LANES, Pipeline, buffer, once, serves, writable

__all__ = ["correlation_forward", "correlation_gradients", "serves"]

TOGETHER = 4
"""Features whose gradients are summed side by side."""

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
i = hl.Var("i")
j = hl.Var("j")
task = hl.Var("task")


def correlation_forward(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """See `midframe.ops.local_correlation`."""
    height, width = first.shape[2:]
    side = 2 * radius + 1
    wide = max(width, LANES)
    result = first.new_empty(len(first), side, side, height, wide)
    run = _forward_pipeline(side)
    run(
        buffer(_pad(first, 0, wide)),
        buffer(_pad(second, radius, wide)),
        first.shape[1],
        writable(result),
    )
    return result[..., :width].contiguous().view(len(first), side * side, height, width)


def correlation_gradients(
    gradient: Tensor, first: Tensor, second: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of both, in their shape."""
    count, channels, height, width = first.shape
    side = 2 * radius + 1
    wide = max(width, LANES)
    wanted = gradient.view(count, side, side, height, width)
    of_first = first.new_empty(count, channels, height, wide)
    of_second = torch.empty_like(of_first)
    inputs = buffer(_pad(wanted, 0, wide)), buffer(_pad(second, radius, wide))
    _first_pipeline(side, min(channels, TOGETHER))(*inputs, writable(of_first))
    inputs = buffer(_pad(wanted, radius, wide)), buffer(_pad(first, radius, wide))
    _second_pipeline(side, min(channels, TOGETHER))(*inputs, writable(of_second))
    return of_first[..., :width].contiguous(), of_second[..., :width].contiguous()


def _pad(tensor: Tensor, radius: int, wide: int) -> Tensor:
    """Pad with zeros, on the right up to a full vector."""
    missing = wide - tensor.shape[-1]
    if not radius and not missing:
        return tensor.contiguous()
    return functional.pad(tensor, (radius, radius + missing, radius, radius))


@once
def _forward_pipeline(side: int) -> Pipeline:
    first = hl.ImageParam(hl.Float(32), 4, "first")
    second = hl.ImageParam(hl.Float(32), 4, "second")
    channels = hl.Param(hl.Int(32), "channels")
    r = hl.RDom([(0, channels)])
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, j, y, i, n] = 0.0
    total[x, j, y, i, n] += first[x, y, r.x, n] * second[x + j, y + i, r.x, n]
    result[x, y, j, i, n] = total[x, j, y, i, n]
    # A task is a row. For LANES pixels and one row of displacements the sums stay in registers over
    # all features, so each value of the first frame is loaded once per row of displacements.
    result.bound(j, 0, side).bound(i, 0, side).reorder(j, x, i, y, n).unroll(j).fuse(
        y, n, task
    ).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    total.compute_at(result, x).vectorize(x, LANES).unroll(j).bound(j, 0, side)
    total.update(0).reorder(j, x, r.x).vectorize(x, LANES).unroll(j)
    return Pipeline(result, first, second, channels)


@once
def _first_pipeline(side: int, together: int) -> Pipeline:
    gradient = hl.ImageParam(hl.Float(32), 5, "gradient")
    second = hl.ImageParam(hl.Float(32), 4, "second")
    r = hl.RDom([(0, side), (0, side)])
    return _gradient_pipeline(
        together, gradient, second, r, gradient[x, y, r.x, r.y, n], second[x + r.x, y + r.y, c, n]
    )


@once
def _second_pipeline(side: int, together: int) -> Pipeline:
    gradient = hl.ImageParam(hl.Float(32), 5, "gradient")
    first = hl.ImageParam(hl.Float(32), 4, "first")
    r = hl.RDom([(0, side), (0, side)])
    # The pixel that was multiplied with this one, within the padding.
    right = x + side - 1 - r.x
    down = y + side - 1 - r.y
    return _gradient_pipeline(
        together, gradient, first, r, gradient[right, down, r.x, r.y, n], first[right, down, c, n]
    )


def _gradient_pipeline(
    together: int,
    gradient: hl.ImageParam,
    features: hl.ImageParam,
    r: hl.RDom,
    wanted: Any,
    seen: Any,
) -> Pipeline:
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, y, c, n] = 0.0
    total[x, y, c, n] += wanted * seen
    result[x, y, c, n] = total[x, y, c, n]
    outer = hl.Var("outer")
    inner = hl.Var("inner")
    # A task is a row. For LANES pixels the gradients of `together` features stay in registers over
    # all displacements, so the gradient of the correlation is loaded once for all of them.
    result.split(c, outer, inner, together, hl.TailStrategy.ShiftInwards)
    result.reorder(inner, x, outer, y, n).unroll(inner).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    total.compute_at(result, x).reorder(c, x, y, n).vectorize(x, LANES).unroll(c, together)
    total.update(0).reorder(c, x, r.x, r.y).vectorize(x, LANES).unroll(c, together)
    return Pipeline(result, gradient, features)
