"""Flow propagation on CUDA, as Triton kernels.

1. `_differences`: the difference of both frames along each candidate flow, per pixel.
2. `_choose`: their sums over windows, and the candidate of the least.
3. `_average`: the mean of the chosen flows over 3x3 pixels; `_average_gradient` is its gradient.

Triton's interpreter runs the same kernels on the CPU for tests without a GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from midframe.models.flowsep.steps.propagation import reference
from midframe.models.flowsep.steps.propagation.comparison import MIN_DEVIATION, WINDOW_RADIUS
from midframe.models.flowsep.steps.propagation.dominant_motions_triton import choose_motions
from midframe.models.flowsep.steps.propagation.reference import CANDIDATES
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import (
    TYPES,
    bilinear_corners,
    block_pixels,
    sample_bilinear,
    valid_inside,
)

BLOCK = 128
"""Pixels that a program computes."""
CELL_BITS = 4
PACKED_CANDIDATES = sum(
    (3 * (down + 1) + right + 1) << (CELL_BITS * k) for k, (down, right) in enumerate(CANDIDATES)
)
"""`CANDIDATES` as one integer, since a kernel cannot index a table of constants: `CELL_BITS` for
each, its cell in a square of 3x3, counted row by row."""
SIZES = ["samples", "height", "width", "distance"]
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


def supports_flow(first: Tensor, second: Tensor, flow: Tensor) -> bool:
    """Return whether these kernels support such frames and flows."""
    return (
        flow.is_cuda and flow.dtype == torch.float32 and {first.dtype, second.dtype} <= set(TYPES)
    )


def propagate_flow(
    first: Tensor, second: Tensor, flow: Tensor, t: Tensor, distance: int, dominant_motions: int
) -> Tensor:
    """See `Steps.propagate_flow`. Differentiable once; the order of summation of the gradient
    varies. With dominant motions, both choices are kernels, and PyTorch applies them."""
    if dominant_motions or distance == 0:

        def choose(_first: Tensor, _second: Tensor, flow: Tensor, distance: int) -> Tensor:
            with device_guard(flow):  # the kernels standardise the frames themselves
                return choose_candidates(first, second, flow, distance).long()

        return reference.propagate_flow(
            first.float(),
            second.float(),
            flow,
            t,
            distance,
            dominant_motions,
            choose,
            choose_motions,
        )
    with device_guard(flow):
        with torch.no_grad():
            chosen = choose_candidates(first, second, flow, distance)
        result: Tensor = _Average.apply(flow, chosen, distance)  # type: ignore[no-untyped-call]
    return result


def choose_candidates(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """Return the index in `CANDIDATES` of the flow that each pixel takes, (N, h, w) int8.

    Frames are as in `propagate_flow`: standardised here.
    """
    samples, channels, height, width = first.shape
    differences = flow.new_empty(samples, len(CANDIDATES), height, width)
    chosen = torch.empty(samples, height, width, dtype=torch.int8, device=flow.device)
    sizes = {"samples": samples, "height": height, "width": width}
    (blocks,) = _grid(flow)
    _differences[(blocks, len(CANDIDATES))](
        first.contiguous(), second.contiguous(), *_statistics(first), *_statistics(second),
        flow.contiguous(), differences, **sizes, distance=distance, channels=channels,
        candidates=PACKED_CANDIDATES, cell_bits=CELL_BITS, block=BLOCK,
    )  # fmt: skip
    _choose[(blocks,)](
        differences, chosen, **sizes, count=len(CANDIDATES), radius=WINDOW_RADIUS, block=BLOCK
    )
    return chosen


class _Average(torch.autograd.Function):
    """Averages the chosen flows of a pixel and its neighbours."""

    @staticmethod
    def forward(ctx, flow: Tensor, chosen: Tensor, distance: int) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(chosen)
        ctx.distance = distance
        flow = flow.contiguous()
        result = torch.empty_like(flow)
        _average[_grid(flow)](flow, chosen, result, **_options(flow, distance))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        (chosen,) = ctx.saved_tensors
        gradient = gradient.contiguous()
        result = torch.zeros_like(gradient)
        _average_gradient[_grid(gradient)](
            gradient, chosen, result, **_options(gradient, ctx.distance)
        )
        return result, None, None


def _statistics(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of each colour, (N, C) float32, as `standardise`
    uses them."""
    variance, mean = torch.var_mean(frame.float(), (2, 3), correction=0)
    return mean, variance.sqrt().clamp(min=MIN_DEVIATION)


def _grid(flow: Tensor) -> tuple[int]:
    return (triton.cdiv(flow[:, 0].numel(), BLOCK),)


def _options(flow: Tensor, distance: int) -> dict[str, int]:
    samples, _, height, width = flow.shape
    sizes = {"samples": samples, "height": height, "width": width, "distance": distance}
    return {**sizes, "candidates": PACKED_CANDIDATES, "cell_bits": CELL_BITS, "block": BLOCK}


@triton.jit  # type: ignore[untyped-decorator]
def _candidate_pixel(  # type: ignore[no-untyped-def]
    k, y, x, height, width, distance, candidates: tl.constexpr, cell_bits: tl.constexpr
):
    """Return the offset in a channel of the pixel whose flow is candidate k of pixel (y, x)."""
    cell = ((candidates >> (cell_bits * k.to(tl.int64))) & ((1 << cell_bits) - 1)).to(tl.int32)
    row = tl.minimum(tl.maximum(y + distance * (cell // 3 - 1), 0), height - 1)
    column = tl.minimum(tl.maximum(x + distance * (cell % 3 - 1), 0), width - 1)
    return row * width + column


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _differences(  # type: ignore[no-untyped-def]
    first, second, mean1, deviation1, mean2, deviation2, flow, result, samples, height, width,
    distance,
    channels: tl.constexpr, candidates: tl.constexpr, cell_bits: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Compute the mean difference of both standardised frames along candidate k (program axis 1).

    Args:
        first, second: (N, channels, h, w).
        mean1, deviation1, mean2, deviation2: of the frames, (N, channels).
        flow: (N, 4, h, w).
        result: (N, candidates, h, w).
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    k = tl.program_id(1)
    area = height * width
    candidate = (
        flow
        + n * 4 * area
        + _candidate_pixel(k, y, x, height, width, distance, candidates, cell_bits)
    )
    # a, b, c, d: the pixels around the position in each frame
    a1, b1, c1, d1, fraction_x1, fraction_y1 = bilinear_corners(
        candidate, y, x, height, width, area, valid
    )
    a2, b2, c2, d2, fraction_x2, fraction_y2 = bilinear_corners(
        candidate + 2 * area, y, x, height, width, area, valid
    )
    total = tl.zeros((block,), tl.float32)
    for channel in tl.static_range(channels):
        plane = n * channels + channel
        colour1 = sample_bilinear(
            first + plane * area, a1, b1, c1, d1, fraction_x1, fraction_y1, valid
        ) - tl.load(mean1 + plane, valid, 0.0)
        colour2 = sample_bilinear(
            second + plane * area, a2, b2, c2, d2, fraction_x2, fraction_y2, valid
        ) - tl.load(mean2 + plane, valid, 0.0)
        colour1 /= tl.load(deviation1 + plane, valid, 1.0)
        colour2 /= tl.load(deviation2 + plane, valid, 1.0)
        total += tl.abs(colour1 - colour2)
    tl.store(result + (n * tl.num_programs(1) + k) * area + y * width + x, total / channels, valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _choose(  # type: ignore[no-untyped-def]
    differences,
    chosen,
    samples,
    height,
    width,
    count: tl.constexpr,
    radius: tl.constexpr,
    block: tl.constexpr,
):
    """Store the index of the least sum of differences (N, count, h, w) over squares of 2 `radius` +
    1 pixels, (N, h, w) int8; of equal ones the first."""
    n, y, x, valid = block_pixels(samples, height, width, block)
    area = height * width
    least = tl.full((block,), float("inf"), tl.float32)
    best = tl.zeros((block,), tl.int32)
    for k in range(count):
        total = tl.zeros((block,), tl.float32)
        for i in tl.static_range(2 * radius + 1):
            for j in tl.static_range(2 * radius + 1):
                row, column = y + (i - radius), x + (j - radius)
                inside = valid_inside(valid, row, column, height, width)
                total += tl.load(
                    differences + (n * count + k) * area + row * width + column, inside, 0.0
                )
        best = tl.where(total < least, k, best)
        least = tl.minimum(total, least)
    tl.store(chosen + n * area + y * width + x, best.to(tl.int8), valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _average(  # type: ignore[no-untyped-def]
    flow, chosen, result, samples, height, width, distance,
    candidates: tl.constexpr, cell_bits: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Average the chosen flows over 3x3 pixels, pixels outside omitted.

    Args:
        flow, result: (N, 4, h, w).
        chosen: (N, h, w), as `_choose` stores it.
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    area = height * width
    sample = flow + n * 4 * area
    count = tl.zeros((block,), tl.float32)
    first_x = tl.zeros((block,), tl.float32)
    first_y = tl.zeros((block,), tl.float32)
    second_x = tl.zeros((block,), tl.float32)
    second_y = tl.zeros((block,), tl.float32)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            row, column = y + (i - 1), x + (j - 1)
            inside = valid_inside(valid, row, column, height, width)
            k = tl.load(chosen + n * area + row * width + column, inside, 0)
            candidate = sample + _candidate_pixel(
                k, row, column, height, width, distance, candidates, cell_bits
            )
            first_x += tl.load(candidate, inside, 0.0)
            first_y += tl.load(candidate + area, inside, 0.0)
            second_x += tl.load(candidate + 2 * area, inside, 0.0)
            second_y += tl.load(candidate + 3 * area, inside, 0.0)
            count += inside.to(tl.float32)
    count = tl.maximum(count, 1.0)
    here = result + n * 4 * area + y * width + x
    tl.store(here, first_x / count, valid)
    tl.store(here + area, first_y / count, valid)
    tl.store(here + 2 * area, second_x / count, valid)
    tl.store(here + 3 * area, second_y / count, valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _average_gradient(  # type: ignore[no-untyped-def]
    gradient, chosen, result, samples, height, width, distance,
    candidates: tl.constexpr, cell_bits: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Add the gradient of `_average`, summed over the 3x3 means that use a pixel's chosen flow, to
    the pixel that it was taken from.

    Args:
        gradient: of the means, (N, 4, h, w).
        chosen: (N, h, w), as `_choose` stores it.
        result: the gradient of the flow, (N, 4, h, w), zeros before.
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    area = height * width
    k = tl.load(chosen + n * area + y * width + x, valid, 0)
    candidate = (
        result
        + n * 4 * area
        + _candidate_pixel(k, y, x, height, width, distance, candidates, cell_bits)
    )
    for component in tl.static_range(4):
        total = tl.zeros((block,), tl.float32)
        for i in tl.static_range(3):
            for j in tl.static_range(3):
                row, column = y + (i - 1), x + (j - 1)
                inside = valid_inside(valid, row, column, height, width)
                # the number of pixels of that mean which are in the image
                rows = 3 - (row == 0).to(tl.int32) - (row == height - 1).to(tl.int32)
                columns = 3 - (column == 0).to(tl.int32) - (column == width - 1).to(tl.int32)
                value = tl.load(
                    gradient + (n * 4 + component) * area + row * width + column, inside, 0.0
                )
                total += tl.where(inside, value / (rows * columns).to(tl.float32), 0.0)
        tl.atomic_add(candidate + component * area, total, valid, sem="relaxed")
