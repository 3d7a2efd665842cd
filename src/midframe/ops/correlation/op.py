"""Local correlation of features: the public function, its registration with PyTorch and its
dispatch."""

from typing import Protocol

import torch
from torch import Tensor

from midframe.ops.accumulation import widen_on_cpu
from midframe.ops.correlation import reference
from midframe.ops.dispatch import for_device
from midframe.ops.function_transforms import map_over_batch, uses_pytorch

MAX_RADIUS = 8
"""The largest radius that the fast implementation is tested for, in pixels; larger ones use
PyTorch."""


def local_correlation(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Correlate the features at each pixel of the first with those around it in the second
    (PWC-Net, section 3).

    `out[n, i * (2R+1) + j, y, x] = sum_c first[n,c,y,x] * second[n,c, y + i - R, x + j - R]`, with
    zeros outside.

    Differentiable once in both arguments. On the CPU float32 and 16-bit features use a Halide
    pipeline; everything else, and a radius above 8, uses PyTorch.
    With derivatives of `torch.func` and in forward mode, PyTorch's operations are used too; outside
    of them a second derivative is an error.

    Args:
        first, second: features (N, C, H, W), floating.
        radius: R, in pixels, 1 or more.

    Returns:
        (N, (2R+1)^2, H, W), in the type of the features.

    Raises:
        ValueError: shapes, types or devices differ, or the radius is out of range.

    Examples:
        >>> features = torch.rand(1, 4, 6, 6)
        >>> correlation = local_correlation(features, features, 1)
        >>> torch.allclose(correlation[:, 4], (features**2).sum(1))  # displacement (0, 0)
        True
    """
    if first.shape != second.shape or first.ndim != 4 or 0 in first.shape[1:]:
        raise ValueError(
            f"features of one shape (N, C, H, W) are needed, got {first.shape} and {second.shape}"
        )
    if (
        first.dtype != second.dtype
        or first.device != second.device
        or not first.is_floating_point()
    ):
        given = f"{first.dtype} on {first.device} and {second.dtype} on {second.device}"
        raise ValueError(f"floating features of one type on one device are needed, got {given}")
    if radius < 1:
        raise ValueError(f"radius is {radius}: 1 or more is needed")
    if radius > MAX_RADIUS or uses_pytorch(first, second):
        return reference.correlation_forward(first, second, radius)
    wide = [*widen_on_cpu(first), *widen_on_cpu(second)]
    result: Tensor = _correlation(*wide, radius)
    return result.to(first.dtype)


class Implementation(Protocol):
    """A module that computes the operator and its gradients.

    Shapes are as in `local_correlation`.
    """

    def correlation_forward(self, first: Tensor, second: Tensor, radius: int) -> Tensor:
        """Correlate features."""

    def correlation_gradients(
        self, gradient: Tensor, first: Tensor, second: Tensor, radius: int
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of both."""


class FastImplementation(Implementation, Protocol):
    """An implementation of some tensors only."""

    def supports(self, features: Tensor, /) -> bool:
        """Return whether it supports such features."""


def load_halide() -> FastImplementation:
    """Import the CPU implementation."""
    import midframe.ops.correlation.halide as halide

    return halide


def _implementation(features: Tensor) -> Implementation:
    """Return the implementation for these tensors."""
    fast = for_device({"cpu": load_halide}, features.device)
    return fast if fast is not None and fast.supports(features) else reference


@torch.library.custom_op("midframe::local_correlation", mutates_args=())
def _correlation(first: Tensor, second: Tensor, radius: int) -> Tensor:
    return _implementation(first).correlation_forward(first, second, radius)


@_correlation.register_fake
def _(first: Tensor, second: Tensor, radius: int) -> Tensor:
    return first.new_empty(len(first), (2 * radius + 1) ** 2, *first.shape[2:])


@torch.library.custom_op("midframe::local_correlation_gradients", mutates_args=())
def _gradients(
    gradient: Tensor, first: Tensor, second: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    return _implementation(first).correlation_gradients(gradient, first, second, radius)


@_gradients.register_fake
def _(gradient: Tensor, first: Tensor, second: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    return first.new_empty(first.shape), second.new_empty(second.shape)


def _save_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # torch.library's context
    ctx.save_for_backward(*inputs[:2])
    ctx.radius = inputs[2]


def _backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]  # torch.library's context
    return *_gradients(gradient.contiguous(), *ctx.saved_tensors, ctx.radius), None


_correlation.register_autograd(_backward, setup_context=_save_context)
for operator in (_correlation, _gradients):
    operator.register_vmap(map_over_batch(operator))
