"""The operators in plain PyTorch: any device, any floating type.

Slow, simple, and what the fast ones are tested against. Taps are summed one at a time into one accumulator, so memory
stays at a few frames (no im2col).
"""

from itertools import product

import torch
from torch import Tensor


def separable_forward(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a padded frame; shapes as in `midframe.ops.separable_convolution`, result in the frame's type."""
    taps, height, width = vertical.shape[1:]
    padded, vertical, horizontal = _accumulable(frame, vertical, horizontal)
    result = padded.new_zeros(*frame.shape[:2], height, width)  # (N, C, H, W)
    for i in range(taps):
        row = torch.zeros_like(result)
        for j in range(taps):
            row.addcmul_(horizontal[:, j : j + 1], padded[:, :, i : i + height, j : j + width])
        result.addcmul_(vertical[:, i : i + 1], row)
    return result.to(frame.dtype)


def separable_kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of the vertical and the horizontal kernels, both (N, K, H, W), in the kernels' types."""
    taps, height, width = vertical.shape[1:]
    weight, padded, tall, wide = _accumulable(gradient, frame, vertical, horizontal)
    tall_gradient, wide_gradient = torch.zeros_like(tall), torch.zeros_like(wide)
    for i in range(taps):
        for j in range(taps):
            product = (weight * padded[:, :, i : i + height, j : j + width]).sum(1)  # (N, H, W)
            tall_gradient[:, i].addcmul_(wide[:, j], product)
            wide_gradient[:, j].addcmul_(tall[:, i], product)
    return tall_gradient.to(vertical.dtype), wide_gradient.to(horizontal.dtype)


def separable_frame_gradient(gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """The gradient of the padded frame, (N, C, H+K-1, W+K-1), in the frame's type."""
    taps, height, width = vertical.shape[1:]
    weight, padded, vertical, horizontal = _accumulable(gradient, frame, vertical, horizontal)
    result = torch.zeros_like(padded)
    for i in range(taps):
        row = weight * vertical[:, i : i + 1]  # (N, C, H, W)
        for j in range(taps):
            result[:, :, i : i + height, j : j + width].addcmul_(row, horizontal[:, j : j + 1])
    return result.to(frame.dtype)


def _accumulable(*tensors: Tensor) -> list[Tensor]:
    """Bring tensors to one type in which many products can be summed: float64 if any is, otherwise float32."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if double else torch.float32) for tensor in tensors]


def adaptive_forward(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Filter padded frames; shapes as in `midframe.ops.adaptive_convolution`, result in the frames' type."""
    padded, kernels = _accumulable(frames, kernels)
    count, several, taps, _, height, width = kernels.shape
    result = padded.new_zeros(count, frames.shape[2], height, width)
    for f, i, j in product(range(several), range(taps), range(taps)):
        result.addcmul_(kernels[:, f, i, j, None], _seen(padded, f, i, j, kernels, stride))
    return result.to(frames.dtype)


def adaptive_kernel_gradient(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """The gradient of the kernels, (N, F, K, K, H, W), in their type, taps innermost in memory."""
    weight, padded = _accumulable(gradient, frames)
    result = empty_taps_innermost(kernels).to(weight.dtype)
    for f, i, j in product(range(kernels.shape[1]), range(kernels.shape[2]), range(kernels.shape[3])):
        result[:, f, i, j] = (weight * _seen(padded, f, i, j, kernels, stride)).sum(1)
    return result.to(kernels.dtype)


def adaptive_frame_gradient(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """The gradient of the padded frames, in their shape and type."""
    weight, wide = _accumulable(gradient, kernels)
    result = torch.zeros(frames.shape, dtype=weight.dtype, device=weight.device)
    for f, i, j in product(range(kernels.shape[1]), range(kernels.shape[2]), range(kernels.shape[3])):
        _seen(result, f, i, j, kernels, stride).addcmul_(weight, wide[:, f, i, j, None])
    return result.to(frames.dtype)


def _seen(frames: Tensor, f: int, i: int, j: int, kernels: Tensor, stride: int) -> Tensor:
    """What tap (i, j) of every kernel sees of frame f, (N, C, H, W), a view."""
    height, width = kernels.shape[4:]
    return frames[:, f, :, i::stride, j::stride][..., :height, :width]


def taps_innermost(kernels: Tensor) -> Tensor:
    """Kernels (N, F, K, K, H, W) seen as (N, H, W, F, K, K)."""
    return kernels.permute(0, 4, 5, 1, 2, 3)


def empty_taps_innermost(kernels: Tensor) -> Tensor:
    """Room like kernels (N, F, K, K, H, W), in memory (N, H, W, F, K, K)."""
    count, several, taps, _, height, width = kernels.shape
    return kernels.new_empty(count, height, width, several, taps, taps).permute(0, 3, 4, 5, 1, 2)
