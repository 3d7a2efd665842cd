"""Local correlation on the CPU, as Halide pipelines compiled for the processor at hand.

With displacements (i, j) from 0 to 2R, the output gradient g, and the second frame padded by R:

    out[i, j, y, x] = sum_c first[c, y, x] * second[c, y + i, x + j]
    grad_first[c, y, x] = sum_ij g[i, j, y, x] * second[c, y + i, x + j]
    grad_second[c, y, x] = sum_ij g[i, j, y - i, x - j] * first[c, y - i, x - j]

LANES neighbouring pixels are computed at a time. Forward, the sums of one row of displacements stay
in registers during the loop over features; backward, those of some features during the loop over
displacements.

Features are (x, y, c, n), correlations and their gradients (x, y, j, i, n).
"""

from typing import Any

import halide as hl
import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    buffer_view,
    cached_pipeline,
    supports,
)

__all__ = ["correlation_forward", "correlation_gradients", "supports"]

FEATURES_AT_ONCE = 4
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
    padded_width = max(width, LANES)
    result = first.new_empty(len(first), side, side, height, padded_width)
    run = _forward_pipeline(side)
    run(
        buffer(_pad(first, 0, padded_width)),
        buffer(_pad(second, radius, padded_width)),
        first.shape[1],
        buffer_view(result),
    )
    return result[..., :width].contiguous().view(len(first), side * side, height, width)


def correlation_gradients(
    gradient: Tensor, first: Tensor, second: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of both, in their shape."""
    count, channels, height, width = first.shape
    side = 2 * radius + 1
    padded_width = max(width, LANES)
    grad_output = gradient.view(count, side, side, height, width)
    grad_first = first.new_empty(count, channels, height, padded_width)
    grad_second = torch.empty_like(grad_first)
    at_once = min(channels, FEATURES_AT_ONCE)
    inputs = buffer(_pad(grad_output, 0, padded_width)), buffer(_pad(second, radius, padded_width))
    _first_pipeline(side, at_once)(*inputs, buffer_view(grad_first))
    inputs = (
        buffer(_pad(grad_output, radius, padded_width)),
        buffer(_pad(first, radius, padded_width)),
    )
    _second_pipeline(side, at_once)(*inputs, buffer_view(grad_second))
    return grad_first[..., :width].contiguous(), grad_second[..., :width].contiguous()


def _pad(tensor: Tensor, radius: int, width: int) -> Tensor:
    """Pad images with zeros on the right up to a width, then by a radius on all sides."""
    missing = width - tensor.shape[-1]
    if not radius and not missing:
        return tensor.contiguous()
    return functional.pad(tensor, (radius, radius + missing, radius, radius))


@cached_pipeline
def _forward_pipeline(side: int) -> Pipeline:
    first = hl.ImageParam(hl.Float(32), 4, "first")
    second = hl.ImageParam(hl.Float(32), 4, "second")
    channels = hl.Param(hl.Int(32), "channels")
    channel = hl.RDom([(0, channels)]).x
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, j, y, i, n] = 0.0
    total[x, j, y, i, n] += first[x, y, channel, n] * second[x + j, y + i, channel, n]
    result[x, y, j, i, n] = total[x, j, y, i, n]
    # A task is a row. For LANES pixels and one row of displacements the sums stay in registers over
    # all features, so each value of the first frame is loaded once per row of displacements.
    result.bound(j, 0, side).bound(i, 0, side).reorder(j, x, i, y, n).unroll(j)
    result.fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    total.compute_at(result, x).vectorize(x, LANES).unroll(j).bound(j, 0, side)
    total.update(0).reorder(j, x, channel).vectorize(x, LANES).unroll(j)
    return Pipeline(result, first, second, channels)


@cached_pipeline
def _first_pipeline(side: int, at_once: int) -> Pipeline:
    """Build the gradient of the first frame."""
    gradient = hl.ImageParam(hl.Float(32), 5, "gradient")
    second = hl.ImageParam(hl.Float(32), 4, "second")
    r = hl.RDom([(0, side), (0, side)])  # j, i
    term = gradient[x, y, r.x, r.y, n] * second[x + r.x, y + r.y, c, n]
    return _gradient_pipeline(at_once, gradient, second, r, term)


@cached_pipeline
def _second_pipeline(side: int, at_once: int) -> Pipeline:
    """Build the gradient of the second frame."""
    gradient = hl.ImageParam(hl.Float(32), 5, "gradient")
    first = hl.ImageParam(hl.Float(32), 4, "first")
    r = hl.RDom([(0, side), (0, side)])  # j, i
    # The pixel of the first frame that was multiplied with (x, y), in its image padded by R.
    first_x = x + side - 1 - r.x
    first_y = y + side - 1 - r.y
    term = gradient[first_x, first_y, r.x, r.y, n] * first[first_x, first_y, c, n]
    return _gradient_pipeline(at_once, gradient, first, r, term)


def _gradient_pipeline(
    at_once: int, gradient: hl.ImageParam, features: hl.ImageParam, r: hl.RDom, term: Any
) -> Pipeline:
    """Build the sum of a term over all displacements `r`."""
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, y, c, n] = 0.0
    total[x, y, c, n] += term
    result[x, y, c, n] = total[x, y, c, n]
    outer = hl.Var("outer")
    inner = hl.Var("inner")
    # A task is a row. For LANES pixels the gradients of `at_once` features stay in registers over
    # all displacements, so the gradient of the correlation is loaded once for all of them.
    result.split(c, outer, inner, at_once, hl.TailStrategy.ShiftInwards)
    result.reorder(inner, x, outer, y, n).unroll(inner).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    total.compute_at(result, x).reorder(c, x, y, n).vectorize(x, LANES).unroll(c, at_once)
    total.update(0).reorder(c, x, r.x, r.y).vectorize(x, LANES).unroll(c, at_once)
    return Pipeline(result, gradient, features)
