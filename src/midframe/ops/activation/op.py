"""Bias, sum and leaky ReLU after a convolution, in one pass on CUDA."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.dispatch import for_device


class Implementation(Protocol):
    """A module that computes `bias_activation` and its gradients."""

    def supports(self, outputs: Tensor, /) -> bool:
        """Return whether it supports such outputs."""

    def bias_activation(
        self, outputs: Tensor, bias: Tensor, slope: float, residual: Tensor | None = None
    ) -> Tensor:
        """See `midframe.ops.activation.bias_activation`."""


def load_triton() -> Implementation:
    """Import the CUDA implementation."""
    import midframe.ops.activation.triton as triton

    return triton


def bias_activation(
    outputs: Tensor, bias: Tensor, slope: float, residual: Tensor | None = None
) -> Tensor:
    """Add a bias, and other features if given, and apply leaky ReLU.

    Args:
        outputs: of a convolution without bias, (N, C, H, W).
        bias: (C,).
        slope: factor of negative sums; 1 for no activation.
        residual: features to add, (N, C, H, W), or None.

    Returns:
        (N, C, H, W) in the type of `outputs`. Differentiable; on CUDA by Triton.
    """
    fast = for_device({"cuda": load_triton}, outputs.device) if can_fuse(outputs) else None
    if fast is not None and fast.supports(outputs):
        return fast.bias_activation(outputs, bias, slope, residual)
    total = outputs + bias.to(outputs.dtype)[:, None, None]
    if residual is not None:
        total = total + residual
    return functional.leaky_relu(total, slope)


def convolve(features: Tensor, weight: Tensor, bias: Tensor, slope: float, stride: int = 1,
             residual: Tensor | None = None) -> Tensor:  # fmt: skip
    """Convolve with a 3x3 kernel and zero padding, then apply `bias_activation`."""
    outputs = functional.conv2d(features, weight, None, stride, padding=1)
    return bias_activation(outputs, bias, slope, residual)


def can_fuse(features: Tensor) -> bool:
    """Return whether `convolve` is faster than separate layers for such features."""
    return features.is_cuda and not torch.compiler.is_exporting()
