"""Adaptive convolution in PyTorch: slow, simple, the reference for tests of the fast
implementations.

Taps are summed one at a time into one accumulator, so memory stays at a few frames (no im2col).
"""

from itertools import product

import torch
from torch import Tensor

from midframe.ops.accumulation import add_product, to_accumulation_type


def adaptive_forward(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Filter padded frames; shapes as in `midframe.ops.adaptive_convolution`, result in the frames'
    type."""
    padded, kernels = to_accumulation_type(frames, kernels)
    frame_count, taps = kernels.shape[1:3]
    result = None
    for f, i, j in product(range(frame_count), range(taps), range(taps)):
        under_tap = _pixels_under_tap(padded, f, i, j, kernels, stride)
        result = add_product(result, kernels[:, f, i, j, None], under_tap)
    assert result is not None, "kernels have a tap at least"
    return result.to(frames.dtype)


def adaptive_kernel_gradient(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> Tensor:
    """Return the gradient of the kernels, (N, F, K, K, H, W), in their type, taps innermost in
    memory."""
    grad_output, padded = to_accumulation_type(gradient, frames)
    result = empty_taps_innermost(kernels).to(grad_output.dtype)
    for f, i, j in product(
        range(kernels.shape[1]), range(kernels.shape[2]), range(kernels.shape[3])
    ):
        under_tap = _pixels_under_tap(padded, f, i, j, kernels, stride)
        result[:, f, i, j] = (grad_output * under_tap).sum(1)
    return result.to(kernels.dtype)


def adaptive_frame_gradient(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> Tensor:
    """Return the gradient of the padded frames, in their shape and type."""
    grad_output, weights = to_accumulation_type(gradient, kernels)
    result = torch.zeros(frames.shape, dtype=grad_output.dtype, device=grad_output.device)
    for f, i, j in product(
        range(kernels.shape[1]), range(kernels.shape[2]), range(kernels.shape[3])
    ):
        under_tap = _pixels_under_tap(result, f, i, j, kernels, stride)
        under_tap.addcmul_(grad_output, weights[:, f, i, j, None])
    return result.to(frames.dtype)


def _pixels_under_tap(
    frames: Tensor, f: int, i: int, j: int, kernels: Tensor, stride: int
) -> Tensor:
    """Return the pixels of frame f under tap (i, j) of every kernel, (N, C, H, W), a view."""
    height, width = kernels.shape[4:]
    return frames[:, f, :, i::stride, j::stride][..., :height, :width]


def taps_innermost(kernels: Tensor) -> Tensor:
    """Return kernels (N, F, K, K, H, W) as a view (N, H, W, F, K, K)."""
    return kernels.permute(0, 4, 5, 1, 2, 3)


def empty_taps_innermost(kernels: Tensor) -> Tensor:
    """Allocate a tensor like kernels (N, F, K, K, H, W), in memory (N, H, W, F, K, K)."""
    count, frame_count, taps, _, height, width = kernels.shape
    return kernels.new_empty(count, height, width, frame_count, taps, taps).permute(
        0, 3, 4, 5, 1, 2
    )
