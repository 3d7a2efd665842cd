"""Separable convolution along a flow on CUDA, as Triton kernels.

A program computes a block of pixels in one row. A flow that leads between pixels shifts the kernels
by a fraction of a pixel, which makes them one tap longer (linear) or three (cubic), so that each
tap lies on one whole pixel. All taps of a row are one axis of the block, and each value of the
frame is loaded once. Triton's interpreter runs the same kernels on the CPU for tests without a GPU.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.ops import triton_tools
from midframe.ops.resampling import EXTRA_TAPS
from midframe.ops.triton_tools import TYPES

BLOCK = 64
"""Pixels that a program computes, a power of two."""
WARPS = 1
"""Warps per program: with the taps as an axis there is enough work for one."""
MAX_CHANNELS = 32
"""Largest number of colours, for which a program keeps sums; frames with more are left to
PyTorch."""


def supports(frame: Tensor, kernel: Tensor) -> bool:
    """Return whether these kernels support such tensors."""
    return triton_tools.supports(frame) and kernel.dtype in TYPES and frame.shape[1] <= MAX_CHANNELS


def flow_separable_forward(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """Filter along a flow; shapes as in `midframe.ops.flow_separable_convolution`."""
    result = frame.new_empty(*frame.shape[:2], *flow.shape[2:])
    inputs = [each.contiguous() for each in (frame, flow, vertical, horizontal)]
    sizes = _sizes(frame, vertical, resampling)
    channel_block = triton.next_power_of_2(frame.shape[1])
    _forward[_grid(flow)](*inputs, result, **sizes, channel_block=channel_block, num_warps=WARPS)
    return result


def flow_separable_gradients(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the flow, (N, 2, H, W), and of both kernels, (N, K, H, W), in their
    types."""
    count, taps, height, width = vertical.shape
    longer = taps + EXTRA_TAPS[resampling]
    down = flow.new_empty(count, longer, height, width, dtype=torch.float32)
    across = torch.empty_like(down)
    gradient = gradient.contiguous()
    frame = frame.contiguous()
    flow = flow.contiguous()
    vertical = vertical.contiguous()
    horizontal = horizontal.contiguous()
    sizes = _sizes(frame, vertical, resampling)
    _shifted_gradients[_grid(flow)](
        gradient, frame, flow, vertical, horizontal, down, across, **sizes, num_warps=WARPS
    )
    results = tuple(torch.empty_like(each) for each in (flow, vertical, horizontal))
    fixed = {name: sizes[name] for name in ("height", "width", "taps", "extra", "block")}
    _split_gradients[_grid(flow)](
        down, across, flow, vertical, horizontal, *results, **fixed, num_warps=WARPS
    )
    grad_flow, tall, tap_block = results
    return grad_flow, tall, tap_block


def flow_separable_frame_gradient(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> Tensor:
    """Return the gradient of the frame, in its shape and type. The order of summation varies from
    run to run."""
    result = torch.zeros(frame.shape, dtype=torch.float32, device=frame.device)
    inputs = [each.contiguous() for each in (gradient, flow, vertical, horizontal)]
    _frame_gradient[_grid(flow)](
        *inputs, result, **_sizes(frame, vertical, resampling), num_warps=WARPS
    )
    return result.to(frame.dtype)


def _grid(flow: Tensor) -> tuple[int, int]:
    return flow.shape[0] * flow.shape[2], triton.cdiv(flow.shape[3], BLOCK)


def _sizes(frame: Tensor, kernel: Tensor, resampling: str) -> dict[str, Any]:
    channels, rows, columns = frame.shape[1:]
    taps = kernel.shape[1]
    extra = EXTRA_TAPS[resampling]
    sizes = {"height": kernel.shape[2], "width": kernel.shape[3], "rows": rows, "columns": columns}
    fixed = {
        "taps": taps,
        "extra": extra,
        "tap_block": triton.next_power_of_2(taps + extra),
        "block": BLOCK,
    }
    return {**sizes, "channels": channels, **fixed}


@triton.jit  # type: ignore[untyped-decorator]
def _pixels(flow, height, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the program's sample and pixels, their offset in an image, and their positions along
    the flow."""
    n = (tl.program_id(0) // height).to(tl.int64)
    y = tl.program_id(0) % height
    x = tl.program_id(1) * block + tl.arange(0, block)
    place = y * width + x
    at = n * 2 * height * width + place
    right = x + tl.load(flow + at, x < width, 0.0).to(tl.float32)
    down = y + tl.load(flow + at + height * width, x < width, 0.0).to(tl.float32)
    return n, x, place, right, down


@triton.jit  # type: ignore[untyped-decorator]
def _tap(kernel, at, k, area, inside, taps: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return tap k of kernels, 0 outside of 0 to taps - 1. `at` and `k` have shapes that
    broadcast."""
    return tl.load(kernel + at + k * area, inside & (k >= 0) & (k < taps), 0.0).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _weight(fraction, m: tl.constexpr, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return weight m of `shift_weights`."""
    p = fraction
    if extra == 1:
        weight = 1.0 - p if m == 0 else p
    elif m == 0:
        weight = ((1.0 - 0.5 * p) * p - 0.5) * p
    elif m == 1:
        weight = (1.5 * p - 2.5) * p * p + 1.0
    elif m == 2:
        weight = ((2.0 - 1.5 * p) * p + 0.5) * p
    else:
        weight = (0.5 * p - 0.5) * p * p
    return weight


@triton.jit  # type: ignore[untyped-decorator]
def _slope(fraction, m: tl.constexpr, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return slope m of `shift_weight_slopes`."""
    p = fraction
    if extra == 1:
        slope = 0.0 * p - 1.0 if m == 0 else 0.0 * p + 1.0
    elif m == 0:
        slope = (2.0 - 1.5 * p) * p - 0.5
    elif m == 1:
        slope = (4.5 * p - 5.0) * p
    elif m == 2:
        slope = (4.0 - 4.5 * p) * p + 0.5
    else:
        slope = (1.5 * p - 1.0) * p
    return slope


@triton.jit  # type: ignore[untyped-decorator]
def _shift_tap(  # type: ignore[no-untyped-def]
    kernel, at, k, area, inside, fraction, taps: tl.constexpr, extra: tl.constexpr
):
    """Return tap k of the shifted kernels."""
    total = _tap(kernel, at, k, area, inside, taps) * _weight(fraction, 0, extra)
    for m in tl.static_range(1, extra + 1):
        total += _tap(kernel, at, k - m, area, inside, taps) * _weight(fraction, m, extra)
    return total


@triton.jit  # type: ignore[untyped-decorator]
def _pixel(to, k, size, taps: tl.constexpr, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the row or column of a frame under tap k of the shifted kernels, clamped to the
    frame."""
    at = tl.floor(to) + (k - taps // 2 - extra // 2)
    return tl.minimum(tl.maximum(at, 0.0), size - 1.0).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    frame, flow, vertical, horizontal, result, height, width, rows, columns, channels: tl.constexpr,
    taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    n, x, place, right, down = _pixels(flow, height, width, block)
    inside = x < width
    area = height * width
    kernel = n * taps * area + place
    j = tl.arange(0, tap_block)[:, None]
    channel = tl.arange(0, channel_block)[:, None]
    fraction = (right - tl.floor(right))[None, :]
    across = _shift_tap(
        horizontal, kernel[None, :], j, area, inside[None, :], fraction, taps, extra
    )
    column = _pixel(right[None, :], j, columns, taps, extra)
    used = inside[None, :] & (j < taps + extra)
    total = tl.zeros((channel_block, block), tl.float32)
    for i in range(taps + extra):
        weight = _shift_tap(vertical, kernel, i, area, inside, down - tl.floor(down), taps, extra)
        row = frame + n * channels * rows * columns + _pixel(down, i, rows, taps, extra) * columns
        for c in tl.static_range(channels):
            values = tl.load(row[None, :] + c * rows * columns + column, used, 0.0).to(tl.float32)
            sampled = weight * tl.sum(across * values, axis=0)
            total += tl.where(channel == c, sampled[None, :], 0.0)
    valid = (channel < channels) & inside[None, :]
    tl.store(result + (n * channels + channel) * area + place[None, :], total, valid)


@triton.jit  # type: ignore[untyped-decorator]
def _shifted_gradients(  # type: ignore[no-untyped-def]
    gradient, frame, flow, vertical, horizontal, grad_down, grad_across, height, width, rows,
    columns, channels: tl.constexpr, taps: tl.constexpr, extra: tl.constexpr,
    tap_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of both shifted kernels."""
    n, x, place, right, down = _pixels(flow, height, width, block)
    inside = x < width
    area = height * width
    kernel = n * taps * area + place
    j = tl.arange(0, tap_block)[:, None]
    fraction = (right - tl.floor(right))[None, :]
    across = _shift_tap(
        horizontal, kernel[None, :], j, area, inside[None, :], fraction, taps, extra
    )
    column = _pixel(right[None, :], j, columns, taps, extra)
    used = inside[None, :] & (j < taps + extra)
    result = n * (taps + extra) * area + place
    offset = n * channels * area + place
    total = tl.zeros((tap_block, block), tl.float32)
    for i in range(taps + extra):
        row = frame + n * channels * rows * columns + _pixel(down, i, rows, taps, extra) * columns
        value = tl.zeros((tap_block, block), tl.float32)
        for c in tl.static_range(channels):
            sampled = tl.load(row[None, :] + c * rows * columns + column, used, 0.0).to(tl.float32)
            value += (
                sampled * tl.load(gradient + offset + c * area, inside, 0.0).to(tl.float32)[None, :]
            )
        tl.store(grad_down + result + i * area, tl.sum(value * across, axis=0), inside)
        weight = _shift_tap(vertical, kernel, i, area, inside, down - tl.floor(down), taps, extra)
        total += value * weight[None, :]
    tl.store(grad_across + result[None, :] + j * area, total, used)


@triton.jit  # type: ignore[untyped-decorator]
def _split_gradients(  # type: ignore[no-untyped-def]
    grad_down, grad_across, flow, vertical, horizontal, grad_flow, grad_vertical, grad_horizontal,
    height, width,
    taps: tl.constexpr, extra: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Convert the gradients of the shifted kernels to those of the flow and of the kernels."""
    n, x, place, right, down = _pixels(flow, height, width, block)
    inside = x < width
    area = height * width
    at = n * 2 * area + place
    grad_x = _split(
        grad_across, horizontal, grad_horizontal, right, n, place, area, inside, taps, extra
    )
    tl.store(grad_flow + at, grad_x, inside)
    grad_y = _split(grad_down, vertical, grad_vertical, down, n, place, area, inside, taps, extra)
    tl.store(grad_flow + at + area, grad_y, inside)


@triton.jit  # type: ignore[untyped-decorator]
def _split(  # type: ignore[no-untyped-def]
    grad_shifted,
    kernel,
    grad_kernel,
    to,
    n,
    place,
    area,
    inside,
    taps: tl.constexpr,
    extra: tl.constexpr,
):
    """Store the gradient of one kernel; return that of the flow along its axis."""
    fraction = to - tl.floor(to)
    at = n * taps * area + place
    longer = n * (taps + extra) * area + place
    grad_fraction = 0.0 * fraction
    for k in range(taps):
        tap = tl.load(kernel + at + k * area, inside, 0.0).to(tl.float32)
        grad_tap = 0.0 * fraction
        for m in tl.static_range(extra + 1):
            value = tl.load(grad_shifted + longer + (k + m) * area, inside, 0.0)
            grad_tap += value * _weight(fraction, m, extra)
            grad_fraction += value * tap * _slope(fraction, m, extra)
        tl.store(grad_kernel + at + k * area, grad_tap, inside)
    return grad_fraction


@triton.jit  # type: ignore[untyped-decorator]
def _frame_gradient(  # type: ignore[no-untyped-def]
    gradient, flow, vertical, horizontal, result, height, width, rows, columns,
    channels: tl.constexpr,
    taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, x, place, right, down = _pixels(flow, height, width, block)
    inside = x < width
    area = height * width
    kernel = n * taps * area + place
    j = tl.arange(0, tap_block)[:, None]
    fraction = (right - tl.floor(right))[None, :]
    across = _shift_tap(
        horizontal, kernel[None, :], j, area, inside[None, :], fraction, taps, extra
    )
    column = _pixel(right[None, :], j, columns, taps, extra)
    used = inside[None, :] & (j < taps + extra)
    for i in range(taps + extra):
        weight = _shift_tap(vertical, kernel, i, area, inside, down - tl.floor(down), taps, extra)
        row = result + n * channels * rows * columns + _pixel(down, i, rows, taps, extra) * columns
        for c in tl.static_range(channels):
            grad_output = tl.load(gradient + (n * channels + c) * area + place, inside, 0.0).to(
                tl.float32
            )
            tl.atomic_add(
                row[None, :] + c * rows * columns + column,
                (grad_output * weight)[None, :] * across,
                used,
            )
