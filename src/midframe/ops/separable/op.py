"""Separable adaptive convolution: the public function, its checks, its registration with PyTorch
and its dispatch."""

from typing import Protocol

import torch
from torch import Tensor

from midframe.ops.accumulation import widen_on_cpu
from midframe.ops.dispatch import for_device
from midframe.ops.function_transforms import map_over_batch, uses_pytorch
from midframe.ops.separable import reference

MAX_TAPS = 63
"""The longest kernel that the fast implementations are tested for, in pixels (the papers use 51);
longer ones use PyTorch."""


def separable_convolution(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a frame with a separable kernel for every pixel, a column and a row (SepConv, section
    3).

    `out[n,c,y,x] = sum_ij vertical[n,i,y,x] * horizontal[n,j,y,x] * frame[n,c,y+i,x+j]`

    Differentiable once in all three arguments; works under autocast (the kernels may be bfloat16 or
    float16 beside a float32 frame, sums are kept in float32) and torch.compile. On the CPU float32
    and 16-bit frames use a Halide pipeline, on CUDA tensors of any type but float64 use Triton
    kernels; everything else, and kernels of more than 63 taps, uses PyTorch.
    With derivatives of `torch.func` and in forward mode, PyTorch's operations are used too; outside
    of them a second derivative is an error.

    Args:
        frame: a frame padded by K // 2 on every side, (N, C, H+K-1, W+K-1), floating.
        vertical: the columns, (N, K, H, W), floating, K odd.
        horizontal: the rows, (N, K, H, W), of the same type as `vertical`.

    Returns:
        The filtered frame, (N, C, H, W), in the type of `frame`.

    Raises:
        ValueError: shapes, types or devices do not fit together; the message names them.

    Examples:
        >>> frame = torch.rand(1, 3, 10, 12)
        >>> middle = torch.zeros(1, 3, 8, 10); middle[:, 1] = 1  # the kernel that changes nothing
        >>> torch.equal(separable_convolution(frame, middle, middle), frame[:, :, 1:-1, 1:-1])
        True
    """
    _check(frame, vertical, horizontal)
    if torch.compiler.is_exporting():
        return reference.separable_by_rows(frame, vertical, horizontal)
    if vertical.shape[1] > MAX_TAPS or uses_pytorch(frame, vertical, horizontal):
        return reference.separable_forward(frame, vertical, horizontal)
    result: Tensor = _separable(*widen_on_cpu(frame, vertical, horizontal))
    return result.to(frame.dtype)


def _check(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> None:
    shapes = (
        f"frame {tuple(frame.shape)}, "
        f"vertical {tuple(vertical.shape)}, horizontal {tuple(horizontal.shape)}"
    )
    if frame.ndim != 4 or vertical.ndim != 4 or horizontal.ndim != 4:
        raise ValueError(f"tensors of rank 4 are needed, got {shapes}")
    if vertical.shape != horizontal.shape:
        raise ValueError(
            f"vertical and horizontal kernels must have one shape (N, K, H, W), got {shapes}"
        )
    count, taps, height, width = vertical.shape
    if taps % 2 == 0:
        raise ValueError(f"the number of taps must be odd, got {taps}")
    if frame.shape[0] != count or frame.shape[2:] != (height + taps - 1, width + taps - 1):
        expected = f"({count}, C, {height + taps - 1}, {width + taps - 1})"
        raise ValueError(f"the frame must be padded by {taps // 2} to {expected}, got {shapes}")
    if 0 in frame.shape[1:]:
        raise ValueError(f"an empty frame cannot be filtered, got {shapes}")
    types = f"frame {frame.dtype}, vertical {vertical.dtype}, horizontal {horizontal.dtype}"
    if (
        not (frame.is_floating_point() and vertical.is_floating_point())
        or vertical.dtype != horizontal.dtype
    ):
        raise ValueError(f"floating tensors are needed, both kernels of one type, got {types}")
    if not frame.device == vertical.device == horizontal.device:
        devices = f"{frame.device}, {vertical.device}, {horizontal.device}"
        raise ValueError(f"frame and kernels must be on one device, got {devices}")


class Implementation(Protocol):
    """A module that computes the operator and its gradients.

    Shapes are as in `separable_convolution`.
    """

    def separable_forward(self, frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
        """Filter a padded frame."""

    def separable_kernel_gradients(
        self, gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of both kernels, in their type."""

    def separable_frame_gradient(
        self, gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
    ) -> Tensor:
        """Return the gradient of the padded frame."""


class FastImplementation(Implementation, Protocol):
    """An implementation of some tensors only."""

    def supports(self, frame: Tensor, kernel: Tensor, /) -> bool:
        """Return whether it supports such tensors."""


def load_halide() -> FastImplementation:
    """Import the CPU implementation."""
    import midframe.ops.separable.halide as halide

    return halide


def load_triton() -> FastImplementation:
    """Import the CUDA implementation."""
    import midframe.ops.separable.triton as triton

    return triton


def _implementation(frame: Tensor, kernel: Tensor) -> Implementation:
    """Return the implementation for these tensors."""
    fast = for_device({"cpu": load_halide, "cuda": load_triton}, frame.device)
    return fast if fast is not None and fast.supports(frame, kernel) else reference


@torch.library.custom_op("midframe::separable_convolution", mutates_args=())
def _separable(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    return _implementation(frame, vertical).separable_forward(frame, vertical, horizontal)


@_separable.register_fake
def _(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    return frame.new_empty(*frame.shape[:2], *vertical.shape[2:])


@torch.library.custom_op("midframe::separable_kernel_gradients", mutates_args=())
def _kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    module = _implementation(frame, vertical)
    return module.separable_kernel_gradients(gradient, frame, vertical, horizontal)


@_kernel_gradients.register_fake
def _(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    return vertical.new_empty(vertical.shape), horizontal.new_empty(horizontal.shape)


@torch.library.custom_op("midframe::separable_frame_gradient", mutates_args=())
def _frame_gradient(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    module = _implementation(frame, vertical)
    return module.separable_frame_gradient(gradient, frame, vertical, horizontal)


@_frame_gradient.register_fake
def _(gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    return frame.new_empty(frame.shape)


def _save_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # torch.library's context
    ctx.save_for_backward(*inputs)


def _backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]  # torch.library's context
    frame, vertical, horizontal = ctx.saved_tensors
    gradient = gradient.to(frame.dtype).contiguous()
    grad_frame = grad_vertical = grad_horizontal = None
    if ctx.needs_input_grad[0]:
        grad_frame = _frame_gradient(gradient, frame, vertical, horizontal)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        grad_vertical, grad_horizontal = _kernel_gradients(gradient, frame, vertical, horizontal)
    return grad_frame, grad_vertical, grad_horizontal


_separable.register_autograd(_backward, setup_context=_save_context)
for operator in (_separable, _kernel_gradients, _frame_gradient):
    operator.register_vmap(map_over_batch(operator))
