"""Bias, sum and leaky ReLU on CUDA: one Triton kernel forward, one backward that sums the gradient
of the bias too.

Tensors are channels-last; a program handles a block of pixels with all their channels.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import channels_innermost, supports

__all__ = ["bias_activation", "supports"]

VALUES = 4096
"""Values that a program handles at a time, pixels times channels."""
PROGRAMS = 8 * 132
"""Maximum number of programs of the backward kernel, 8 for each multiprocessor of an H100; each
sums over many pixels, so few sums are added atomically."""


def bias_activation(
    outputs: Tensor, bias: Tensor, slope: float, residual: Tensor | None = None
) -> Tensor:
    """See `midframe.ops.activation.bias_activation`. The order of summation of the bias's gradient
    varies."""
    with device_guard(outputs):
        result: Tensor = _BiasActivation.apply(outputs, bias, slope, residual)  # type: ignore[no-untyped-call]
    return result


class _BiasActivation(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, outputs: Tensor, bias: Tensor, slope: float, residual: Tensor | None
    ) -> Tensor:
        inner = channels_innermost(outputs)
        other = inner if residual is None else channels_innermost(residual.to(outputs.dtype))
        result = torch.empty_like(inner)
        channels = inner.shape[3]
        pixels = inner.numel() // channels
        channel_block = triton.next_power_of_2(channels)
        block = max(1, VALUES // channel_block)
        _forward[(triton.cdiv(pixels, block),)](
            inner, bias, other, result, pixels, slope,
            channels=channels, added=residual is not None, channel_block=channel_block, block=block,
        )  # fmt: skip
        ctx.save_for_backward(result, bias)
        ctx.slope = slope
        ctx.added = residual is not None
        return result.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        result, bias = ctx.saved_tensors
        grad_output = channels_innermost(gradient)
        grad_outputs = torch.empty_like(grad_output)
        grad_bias = torch.zeros(bias.shape, dtype=torch.float32, device=bias.device)
        channels = result.shape[3]
        pixels = result.numel() // channels
        channel_block = triton.next_power_of_2(channels)
        block = max(1, VALUES // channel_block)
        programs = min(PROGRAMS, triton.cdiv(pixels, block))
        _backward[(programs,)](
            grad_output, result, grad_outputs, grad_bias, pixels, ctx.slope,
            channels=channels, channel_block=channel_block, block=block,
        )  # fmt: skip
        inner = grad_outputs.permute(0, 3, 1, 2)
        return inner, grad_bias.to(bias.dtype), None, inner if ctx.added else None


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    outputs, bias, residual, result, pixels, slope,
    channels: tl.constexpr, added: tl.constexpr, channel_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute leaky_relu(outputs + bias + residual) for a block of pixels.

    Args:
        outputs, residual, result: (pixels, channels); residual only if `added`.
        bias: (channels,).
    """
    pixel = (tl.program_id(0) * block + tl.arange(0, block)).to(tl.int64)[:, None]
    channel = tl.arange(0, channel_block)[None, :]
    used = (pixel < pixels) & (channel < channels)
    offset = pixel * channels + channel
    total = tl.load(outputs + offset, used, 0.0).to(tl.float32)
    total += tl.load(bias + channel, channel < channels, 0.0).to(tl.float32)
    if added:
        total += tl.load(residual + offset, used, 0.0).to(tl.float32)
    tl.store(
        result + offset, tl.where(total > 0, total, total * slope).to(result.dtype.element_ty), used
    )


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    gradient, result, grad_outputs, grad_bias, pixels, slope,
    channels: tl.constexpr, channel_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of the outputs, and add its sum over pixels to that of the bias.

    The sign of the result is that of the sum before the activation, so that sum is not stored.

    Args:
        gradient, result, grad_outputs: (pixels, channels).
        grad_bias: (channels,) float32, zeros before.
    """
    channel = tl.arange(0, channel_block)[None, :]
    total = tl.zeros((block, channel_block), tl.float32)
    step = tl.num_programs(0) * block
    for start in range(tl.program_id(0) * block, pixels, step):
        pixel = (start + tl.arange(0, block)).to(tl.int64)[:, None]
        used = (pixel < pixels) & (channel < channels)
        offset = pixel * channels + channel
        value = tl.load(gradient + offset, used, 0.0).to(tl.float32)
        value = tl.where(
            tl.load(result + offset, used, 0.0).to(tl.float32) > 0, value, value * slope
        )
        tl.store(grad_outputs + offset, value.to(grad_outputs.dtype.element_ty), used)
        total += value
    bias_channel = tl.arange(0, channel_block)
    tl.atomic_add(
        grad_bias + bias_channel, tl.sum(total, axis=0), bias_channel < channels, sem="relaxed"
    )
