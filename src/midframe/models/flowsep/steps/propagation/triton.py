"""Flow propagation on CUDA, as Triton kernels.

One kernel computes the differences of both frames along each candidate flow, one sums them over
squares and chooses the flow, and one reads and averages the chosen flows; a fourth computes its
gradient. Triton's interpreter runs the same kernels on the CPU for tests without a GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from midframe.models.flowsep.steps.propagation import plain
from midframe.models.flowsep.steps.propagation.comparison import MIN_DEVIATION, WINDOW_RADIUS
from midframe.models.flowsep.steps.propagation.plain import CANDIDATES
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import TYPES, corners, pixels, sample

BLOCK = 128
"""Pixels that a program computes."""
BITS = 4
PACKED_CANDIDATES = sum(
    (3 * (down + 1) + right + 1) << (BITS * k) for k, (down, right) in enumerate(CANDIDATES)
)
"""`CANDIDATES` in one number, `BITS` for each: the cell of a square of 3x3, counted row by row."""
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
    varies. With dominant motions, only the choice between the candidates nearby is a kernel."""
    if dominant_motions or distance == 0:
        return plain.propagate_flow(
            first.float(), second.float(), flow, t, distance, dominant_motions, _choose_index
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
        candidates=PACKED_CANDIDATES, bits=BITS, block=BLOCK,
    )  # fmt: skip
    _choose[(blocks,)](
        differences, chosen, **sizes, count=len(CANDIDATES), radius=WINDOW_RADIUS, block=BLOCK
    )
    return chosen


def _choose_index(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """See `choose_candidates`; (N, h, w) int64. Standardising frames twice changes nothing."""
    with device_guard(flow):
        return choose_candidates(first, second, flow, distance).long()


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
    return {**sizes, "candidates": PACKED_CANDIDATES, "bits": BITS, "block": BLOCK}


@triton.jit  # type: ignore[untyped-decorator]
def _candidate(k, y, x, height, width, distance, candidates: tl.constexpr, bits: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the place in the image of the pixel whose flow candidate k is."""
    cell = ((candidates >> (bits * k.to(tl.int64))) & ((1 << bits) - 1)).to(tl.int32)
    row = tl.minimum(tl.maximum(y + distance * (cell // 3 - 1), 0), height - 1)
    column = tl.minimum(tl.maximum(x + distance * (cell % 3 - 1), 0), width - 1)
    return row * width + column


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _differences(  # type: ignore[no-untyped-def]
    first, second, mean_1, deviation_1, mean_2, deviation_2, flow, result, samples, height, width,
    distance,
    channels: tl.constexpr, candidates: tl.constexpr, bits: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y, x, valid = pixels(samples, height, width, block)
    k = tl.program_id(1)
    area = height * width
    at = flow + n * 4 * area + _candidate(k, y, x, height, width, distance, candidates, bits)
    a, b, c, d, px, py = corners(at, y, x, height, width, area, valid)
    e, f, g, h, qx, qy = corners(at + 2 * area, y, x, height, width, area, valid)
    total = tl.zeros((block,), tl.float32)
    for channel in tl.static_range(channels):
        plane = n * channels + channel
        one = sample(first + plane * area, a, b, c, d, px, py, valid) - tl.load(
            mean_1 + plane, valid, 0.0
        )
        two = sample(second + plane * area, e, f, g, h, qx, qy, valid) - tl.load(
            mean_2 + plane, valid, 0.0
        )
        one /= tl.load(deviation_1 + plane, valid, 1.0)
        two /= tl.load(deviation_2 + plane, valid, 1.0)
        total += tl.abs(one - two)
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
    n, y, x, valid = pixels(samples, height, width, block)
    area = height * width
    least = tl.full((block,), float("inf"), tl.float32)
    best = tl.zeros((block,), tl.int32)
    for k in range(count):
        total = tl.zeros((block,), tl.float32)
        for i in tl.static_range(2 * radius + 1):
            for j in tl.static_range(2 * radius + 1):
                row, column = y + (i - radius), x + (j - radius)
                inside = valid & (row >= 0) & (row < height) & (column >= 0) & (column < width)
                total += tl.load(
                    differences + (n * count + k) * area + row * width + column, inside, 0.0
                )
        best = tl.where(total < least, k, best)  # of equal ones the first is kept
        least = tl.minimum(total, least)
    tl.store(chosen + n * area + y * width + x, best.to(tl.int8), valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _average(  # type: ignore[no-untyped-def]
    flow, chosen, result, samples, height, width, distance,
    candidates: tl.constexpr, bits: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y, x, valid = pixels(samples, height, width, block)
    area = height * width
    given = flow + n * 4 * area
    count = tl.zeros((block,), tl.float32)
    a = tl.zeros((block,), tl.float32)
    b = tl.zeros((block,), tl.float32)
    c = tl.zeros((block,), tl.float32)
    d = tl.zeros((block,), tl.float32)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            row, column = y + (i - 1), x + (j - 1)
            inside = valid & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            k = tl.load(chosen + n * area + row * width + column, inside, 0)
            at = given + _candidate(k, row, column, height, width, distance, candidates, bits)
            a += tl.load(at, inside, 0.0)
            b += tl.load(at + area, inside, 0.0)
            c += tl.load(at + 2 * area, inside, 0.0)
            d += tl.load(at + 3 * area, inside, 0.0)
            count += inside.to(tl.float32)
    count = tl.maximum(count, 1.0)
    to = result + n * 4 * area + y * width + x
    tl.store(to, a / count, valid)
    tl.store(to + area, b / count, valid)
    tl.store(to + 2 * area, c / count, valid)
    tl.store(to + 3 * area, d / count, valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _average_gradient(  # type: ignore[no-untyped-def]
    gradient, chosen, result, samples, height, width, distance,
    candidates: tl.constexpr, bits: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y, x, valid = pixels(samples, height, width, block)
    area = height * width
    k = tl.load(chosen + n * area + y * width + x, valid, 0)
    to = result + n * 4 * area + _candidate(k, y, x, height, width, distance, candidates, bits)
    for axis in tl.static_range(4):
        total = tl.zeros((block,), tl.float32)
        for i in tl.static_range(3):
            for j in tl.static_range(3):
                row, column = y + (i - 1), x + (j - 1)
                inside = valid & (row >= 0) & (row < height) & (column >= 0) & (column < width)
                rows = 3 - (row == 0).to(tl.int32) - (row == height - 1).to(tl.int32)
                columns = 3 - (column == 0).to(tl.int32) - (column == width - 1).to(tl.int32)
                value = tl.load(
                    gradient + (n * 4 + axis) * area + row * width + column, inside, 0.0
                )
                total += tl.where(inside, value / (rows * columns).to(tl.float32), 0.0)
        tl.atomic_add(to + axis * area, total, valid, sem="relaxed")
