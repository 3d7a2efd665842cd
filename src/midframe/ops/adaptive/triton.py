"""Adaptive convolution on CUDA, as Triton kernels.

A program computes one output pixel with all its colours:

    out[c, y, x] = sum_fij kernels[f, i, j, y, x] * frames[f, c, stride * y + i, stride * x + j]

A pixel's F * K * K weights are contiguous in memory (3362 for two frames and 41 taps). The program
loops over blocks of them, as one axis: `tap` = (f * K + i) * K + j. Triton's interpreter runs the
same kernels on the CPU for tests without a GPU.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.ops import triton_tools
from midframe.ops.adaptive.reference import taps_innermost

TAP_BLOCK = 256
"""Taps per block, a power of two."""
MAX_CHANNELS = 32
"""Largest number of colours, for which a program keeps sums; frames with more are left to
PyTorch."""


def supports(frames: Tensor) -> bool:
    """Return whether these kernels support such frames."""
    return triton_tools.supports(frames) and frames.shape[2] <= MAX_CHANNELS


def adaptive_forward(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Filter padded frames; shapes as in `midframe.ops.adaptive_convolution`."""
    result = frames.new_empty(len(frames), frames.shape[2], *kernels.shape[4:])
    weights = taps_innermost(kernels).contiguous()
    _forward[_grid(kernels)](frames, weights, result, stride, **_layout(frames, kernels))
    return result


def adaptive_kernel_gradient(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> Tensor:
    """Return the gradient of the kernels, (N, F, K, K, H, W), in their type, taps innermost in
    memory."""
    result = torch.empty_like(taps_innermost(kernels).contiguous())
    _kernel_gradient[_grid(kernels)](
        gradient.contiguous(), frames, result, stride, **_layout(frames, kernels)
    )
    return result.permute(0, 3, 4, 5, 1, 2)


def adaptive_frame_gradient(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> Tensor:
    """Return the gradient of the padded frames, in their shape and type. The order of summation
    varies from run to run."""
    result = torch.zeros(frames.shape, dtype=torch.float32, device=frames.device)
    weights = taps_innermost(kernels).contiguous()
    _frame_gradient[_grid(kernels)](
        gradient.contiguous(), weights, result, stride, **_layout(result, kernels)
    )
    return result.to(frames.dtype)


def _grid(kernels: Tensor) -> tuple[int]:
    count, height, width = kernels.shape[0], *kernels.shape[4:]
    return (count * height * width,)


def _layout(frames: Tensor, kernels: Tensor) -> dict[str, Any]:
    """Return the sizes and strides that all kernels need."""
    names = ("stride_n", "stride_f", "stride_c", "stride_y", "stride_x")
    sizes = {"height": kernels.shape[4], "width": kernels.shape[5]}
    fixed = {
        "frame_count": kernels.shape[1],
        "taps": kernels.shape[2],
        "channels": frames.shape[2],
        "tap_block": TAP_BLOCK,
    }
    channel_block = {"channel_block": triton.next_power_of_2(frames.shape[2])}
    return {**sizes, **dict(zip(names, frames.stride(), strict=True)), **fixed, **channel_block}


@triton.jit
def _locate_pixel(height, width, stride, stride_n, stride_y, stride_x):  # type: ignore[no-untyped-def]
    """Return the program's pixel: its index among all samples, its sample, its offset in a channel
    of the output, and the offset in the frames of the first tap of its kernels."""
    index = tl.program_id(0).to(tl.int64)
    x = index % width
    y = index // width % height
    n = index // (width * height)
    return index, n, y * width + x, n * stride_n + y * stride * stride_y + x * stride * stride_x


@triton.jit  # type: ignore[untyped-decorator]
def _frame_offsets(  # type: ignore[no-untyped-def]
    first_tap, tap, channel, stride_f, stride_c, stride_y, stride_x, taps: tl.constexpr
):
    """Return the offsets in the frames of the values under taps, (channels, taps)."""
    column = tap % taps
    row = tap // taps % taps
    frame = tap // (taps * taps)
    under_tap = frame * stride_f + row * stride_y + column * stride_x
    return first_tap + under_tap[None, :] + channel[:, None] * stride_c


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    frames, kernels, result, stride, height, width,
    stride_n, stride_f, stride_c, stride_y, stride_x,
    frame_count: tl.constexpr, taps: tl.constexpr, channels: tl.constexpr, tap_block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    """Filter one pixel.

    Args:
        frames: (N, F, C, rows, columns), of the strides `stride_n` to `stride_x`.
        kernels: (N, H, W, F, K, K), contiguous.
        result: (N, C, H, W), contiguous.
    """
    index, n, pixel, first_tap = _locate_pixel(height, width, stride, stride_n, stride_y, stride_x)
    channel = tl.arange(0, channel_block)
    count: tl.constexpr = frame_count * taps * taps
    total = tl.zeros((channel_block,), tl.float32)
    for start in range(0, count, tap_block):
        tap = start + tl.arange(0, tap_block)
        weight = tl.load(kernels + index * count + tap, tap < count, 0.0).to(tl.float32)
        offset = _frame_offsets(
            first_tap, tap, channel, stride_f, stride_c, stride_y, stride_x, taps
        )
        inside = (channel[:, None] < channels) & (tap[None, :] < count)
        value = tl.load(frames + offset, inside, 0.0).to(tl.float32)
        total += tl.sum(weight[None, :] * value, axis=1)
    area = height * width
    tl.store(result + (n * channels + channel) * area + pixel, total, channel < channels)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel_gradient(  # type: ignore[no-untyped-def]
    gradient, frames, result, stride, height, width,
    stride_n, stride_f, stride_c, stride_y, stride_x,
    frame_count: tl.constexpr, taps: tl.constexpr, channels: tl.constexpr, tap_block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of the kernels of one pixel: sum_c gradient[c] * frames[..., c, ...].

    Args:
        gradient: (N, C, H, W), contiguous.
        frames: as in `_forward`.
        result: (N, H, W, F, K, K), contiguous.
    """
    index, n, pixel, first_tap = _locate_pixel(height, width, stride, stride_n, stride_y, stride_x)
    channel = tl.arange(0, channel_block)
    count: tl.constexpr = frame_count * taps * taps
    area = height * width
    grad_output = tl.load(
        gradient + (n * channels + channel) * area + pixel, channel < channels, 0.0
    ).to(tl.float32)
    for start in range(0, count, tap_block):
        tap = start + tl.arange(0, tap_block)
        offset = _frame_offsets(
            first_tap, tap, channel, stride_f, stride_c, stride_y, stride_x, taps
        )
        inside = (channel[:, None] < channels) & (tap[None, :] < count)
        value = tl.load(frames + offset, inside, 0.0).to(tl.float32)
        tl.store(
            result + index * count + tap, tl.sum(grad_output[:, None] * value, axis=0), tap < count
        )


@triton.jit  # type: ignore[untyped-decorator]
def _frame_gradient(  # type: ignore[no-untyped-def]
    gradient, kernels, result, stride, height, width,
    stride_n, stride_f, stride_c, stride_y, stride_x,
    frame_count: tl.constexpr, taps: tl.constexpr, channels: tl.constexpr, tap_block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    """Add one pixel's gradient, times its kernels, to all pixels of the frames under them.

    Args:
        gradient: (N, C, H, W), contiguous.
        kernels: as in `_forward`.
        result: (N, F, C, rows, columns) float32, zeros before.
    """
    index, n, pixel, first_tap = _locate_pixel(height, width, stride, stride_n, stride_y, stride_x)
    channel = tl.arange(0, channel_block)
    count: tl.constexpr = frame_count * taps * taps
    area = height * width
    grad_output = tl.load(
        gradient + (n * channels + channel) * area + pixel, channel < channels, 0.0
    ).to(tl.float32)
    for start in range(0, count, tap_block):
        tap = start + tl.arange(0, tap_block)
        weight = tl.load(kernels + index * count + tap, tap < count, 0.0).to(tl.float32)
        offset = _frame_offsets(
            first_tap, tap, channel, stride_f, stride_c, stride_y, stride_x, taps
        )
        inside = (channel[:, None] < channels) & (tap[None, :] < count)
        tl.atomic_add(result + offset, grad_output[:, None] * weight[None, :], inside)
