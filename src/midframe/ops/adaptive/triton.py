"""Adaptive convolution on CUDA, as Triton kernels.

A program computes one output pixel: it loops over blocks of the taps of the pixel's kernels, which
are contiguous in memory, with all colours of the frames. Triton's interpreter runs the same kernels
on the CPU for tests without a GPU.
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
    _forward[_pixels(kernels)](frames, weights, result, stride, **_layout(frames, kernels))
    return result


def adaptive_kernel_gradient(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> Tensor:
    """Return the gradient of the kernels, (N, F, K, K, H, W), in their type, taps innermost in
    memory."""
    result = torch.empty_like(taps_innermost(kernels).contiguous())
    _kernel_gradient[_pixels(kernels)](
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
    _frame_gradient[_pixels(kernels)](
        gradient.contiguous(), weights, result, stride, **_layout(result, kernels)
    )
    return result.to(frames.dtype)


def _pixels(kernels: Tensor) -> tuple[int]:
    count, height, width = kernels.shape[0], *kernels.shape[4:]
    return (count * height * width,)


def _layout(frames: Tensor, kernels: Tensor) -> dict[str, Any]:
    """Return the sizes and strides that all kernels need."""
    names = ("per_sample", "per_frame", "per_channel", "per_row", "per_column")
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
def _place(height, width, stride, per_sample, per_row, per_column):  # type: ignore[no-untyped-def]
    """Return the program's pixel, and the address in the first frame under the first tap of its
    kernels."""
    pixel = tl.program_id(0).to(tl.int64)
    x = pixel % width
    y = pixel // width % height
    n = pixel // (width * height)
    return pixel, n, y * width + x, n * per_sample + y * stride * per_row + x * stride * per_column


@triton.jit
def _offset_under_tap(tap, taps, per_frame, per_row, per_column):  # type: ignore[no-untyped-def]
    """Return the address under a tap, relative to that under the first tap of the first frame."""
    column = tap % taps
    row = tap // taps % taps
    frame = tap // (taps * taps)
    return frame * per_frame + row * per_row + column * per_column


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    frames, kernels, result, stride, height, width, per_sample, per_frame, per_channel, per_row,
    per_column,
    frame_count: tl.constexpr, taps: tl.constexpr, channels: tl.constexpr, tap_block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    pixel, n, place, corner = _place(height, width, stride, per_sample, per_row, per_column)
    channel = tl.arange(0, channel_block)
    count: tl.constexpr = frame_count * taps * taps
    total = tl.zeros((channel_block,), tl.float32)
    for start in range(0, count, tap_block):
        tap = start + tl.arange(0, tap_block)
        weight = tl.load(kernels + pixel * count + tap, tap < count, 0.0).to(tl.float32)
        at = (
            corner
            + _offset_under_tap(tap, taps, per_frame, per_row, per_column)[None, :]
            + channel[:, None] * per_channel
        )
        value = tl.load(
            frames + at, (channel[:, None] < channels) & (tap[None, :] < count), 0.0
        ).to(tl.float32)
        total += tl.sum(weight[None, :] * value, axis=1)
    area = height * width
    tl.store(result + (n * channels + channel) * area + place, total, channel < channels)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel_gradient(  # type: ignore[no-untyped-def]
    gradient, frames, result, stride, height, width, per_sample, per_frame, per_channel, per_row,
    per_column,
    frame_count: tl.constexpr, taps: tl.constexpr, channels: tl.constexpr, tap_block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    pixel, n, place, corner = _place(height, width, stride, per_sample, per_row, per_column)
    channel = tl.arange(0, channel_block)
    count: tl.constexpr = frame_count * taps * taps
    area = height * width
    grad_output = tl.load(
        gradient + (n * channels + channel) * area + place, channel < channels, 0.0
    ).to(tl.float32)
    for start in range(0, count, tap_block):
        tap = start + tl.arange(0, tap_block)
        at = (
            corner
            + _offset_under_tap(tap, taps, per_frame, per_row, per_column)[None, :]
            + channel[:, None] * per_channel
        )
        value = tl.load(
            frames + at, (channel[:, None] < channels) & (tap[None, :] < count), 0.0
        ).to(tl.float32)
        tl.store(
            result + pixel * count + tap, tl.sum(grad_output[:, None] * value, axis=0), tap < count
        )


@triton.jit  # type: ignore[untyped-decorator]
def _frame_gradient(  # type: ignore[no-untyped-def]
    gradient, kernels, result, stride, height, width, per_sample, per_frame, per_channel, per_row,
    per_column,
    frame_count: tl.constexpr, taps: tl.constexpr, channels: tl.constexpr, tap_block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    pixel, n, place, corner = _place(height, width, stride, per_sample, per_row, per_column)
    channel = tl.arange(0, channel_block)
    count: tl.constexpr = frame_count * taps * taps
    area = height * width
    grad_output = tl.load(
        gradient + (n * channels + channel) * area + place, channel < channels, 0.0
    ).to(tl.float32)
    for start in range(0, count, tap_block):
        tap = start + tl.arange(0, tap_block)
        weight = tl.load(kernels + pixel * count + tap, tap < count, 0.0).to(tl.float32)
        at = (
            corner
            + _offset_under_tap(tap, taps, per_frame, per_row, per_column)[None, :]
            + channel[:, None] * per_channel
        )
        inside = (channel[:, None] < channels) & (tap[None, :] < count)
        tl.atomic_add(result + at, grad_output[:, None] * weight[None, :], inside)
