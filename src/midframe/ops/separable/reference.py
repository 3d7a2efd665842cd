"""Separable convolution in PyTorch: slow, simple, the reference for tests of the fast
implementations.

Taps are summed one at a time into one accumulator, so memory stays at a few frames (no im2col).
"""

import torch
from torch import Tensor

from midframe.ops.accumulation import add_product, to_accumulation_type


def separable_forward(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a padded frame; shapes as in `midframe.ops.separable_convolution`, result in the
    frame's type."""
    taps, height, width = vertical.shape[1:]
    padded, vertical, horizontal = to_accumulation_type(frame, vertical, horizontal)
    result = None
    for i in range(taps):
        row = None
        for j in range(taps):
            under_tap = padded[:, :, i : i + height, j : j + width]  # (N, C, H, W)
            row = add_product(row, horizontal[:, j : j + 1], under_tap)
        assert row is not None, "kernels have a tap at least"
        result = add_product(result, vertical[:, i : i + 1], row)
    assert result is not None, "kernels have a tap at least"
    return result.to(frame.dtype)


def separable_by_rows(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Compute the same as `separable_forward` a row of taps at a time, for export: few operations,
    which need K times the memory of the frame."""
    taps, height, width = vertical.shape[1:]
    columns = torch.stack([frame[..., j : j + width] for j in range(taps)], dim=2)
    rows = [  # columns are (N, C, K, H+K-1, W)
        vertical[:, i : i + 1] * (columns[..., i : i + height, :] * horizontal[:, None]).sum(2)
        for i in range(taps)
    ]
    return torch.stack(rows).sum(0)


def separable_kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the vertical and the horizontal kernels, both (N, K, H, W), in the
    kernels' types."""
    taps, height, width = vertical.shape[1:]
    kernel_type = vertical.dtype
    grad_output, padded, vertical, horizontal = to_accumulation_type(
        gradient, frame, vertical, horizontal
    )
    grad_vertical = torch.zeros_like(vertical)
    grad_horizontal = torch.zeros_like(horizontal)
    for i in range(taps):
        for j in range(taps):
            under_tap = padded[:, :, i : i + height, j : j + width]
            product = (grad_output * under_tap).sum(1)  # (N, H, W)
            grad_vertical[:, i].addcmul_(horizontal[:, j], product)
            grad_horizontal[:, j].addcmul_(vertical[:, i], product)
    return grad_vertical.to(kernel_type), grad_horizontal.to(kernel_type)


def separable_frame_gradient(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    """Return the gradient of the padded frame, (N, C, H+K-1, W+K-1), in the frame's type."""
    taps, height, width = vertical.shape[1:]
    grad_output, padded, vertical, horizontal = to_accumulation_type(
        gradient, frame, vertical, horizontal
    )
    result = torch.zeros_like(padded)
    for i in range(taps):
        row = grad_output * vertical[:, i : i + 1]  # (N, C, H, W)
        for j in range(taps):
            result[:, :, i : i + height, j : j + width].addcmul_(row, horizontal[:, j : j + 1])
    return result.to(frame.dtype)
