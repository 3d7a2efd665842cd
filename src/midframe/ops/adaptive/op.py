"""Adaptive convolution: the public function, its checks, its registration with PyTorch and its
dispatch."""

from typing import Protocol

import torch
from torch import Tensor

from midframe.ops.accumulation import widen_on_cpu
from midframe.ops.adaptive import reference
from midframe.ops.dispatch import for_device
from midframe.ops.function_transforms import map_over_batch, uses_pytorch

MAX_TAPS = 79
"""The largest kernel that the fast implementations are tested for, in pixels (the paper uses 41);
larger ones use PyTorch."""


def adaptive_convolution(frames: Tensor, kernels: Tensor, stride: int = 1) -> Tensor:
    """Filter several frames, each pixel with kernels of its own, and add them (AdaConv, section 3).

    `out[n,c,y,x] = sum_fij kernels[n,f,i,j,y,x] * frames[n,f,c,stride*y+i,stride*x+j]`

    Differentiable once in both arguments; works under autocast (the kernels may be of lower
    precision than the frames, sums are kept in float32) and torch.compile. Fastest if the taps i, j
    are innermost in memory, as in the output of a network with channels last. On the CPU float32
    and 16-bit frames use a Halide pipeline, on CUDA frames of any type but float64 use Triton
    kernels; everything else, and kernels of more than 79 taps, uses PyTorch.
    With derivatives of `torch.func` and in forward mode, PyTorch's operations are used too; outside
    of them a second derivative is an error.

    Args:
        frames: F frames a sample, padded by K // 2 on every side, (N, F, C, stride*(H-1)+K,
            stride*(W-1)+K), floating.
        kernels: (N, F, K, K, H, W), floating, K odd.
        stride: distance in pixels between the positions that are filtered.

    Returns:
        (N, C, H, W), in the type of `frames`.

    Raises:
        ValueError: shapes, types or devices do not fit together; the message names them.

    Examples:
        >>> frames = torch.rand(1, 2, 3, 10, 12)
        >>> kernels = torch.zeros(1, 2, 3, 3, 8, 10)
        >>> kernels[:, :, 1, 1] = 0.5  # the average of both frames
        >>> average = frames.mean(1)[..., 1:-1, 1:-1]
        >>> torch.allclose(adaptive_convolution(frames, kernels), average)
        True
    """
    _check(frames, kernels, stride)
    if kernels.shape[2] > MAX_TAPS or uses_pytorch(frames, kernels):
        return reference.adaptive_forward(frames, kernels, stride)
    result: Tensor = _adaptive(*widen_on_cpu(frames, kernels), stride)
    return result.to(frames.dtype)


def _check(frames: Tensor, kernels: Tensor, stride: int) -> None:
    shapes = f"frames {tuple(frames.shape)}, kernels {tuple(kernels.shape)}"
    if frames.ndim != 5 or kernels.ndim != 6:
        raise ValueError(f"frames of rank 5 and kernels of rank 6 are needed, got {shapes}")
    if stride < 1:
        raise ValueError(f"stride is {stride}: 1 or more is needed")
    count, frame_count, taps, tap_columns, height, width = kernels.shape
    if taps != tap_columns or taps % 2 == 0:
        raise ValueError(f"kernels must be square, with an odd side, got {shapes}")
    rows = stride * (height - 1) + taps
    columns = stride * (width - 1) + taps
    if frames.shape[:2] != (count, frame_count) or frames.shape[3:] != (rows, columns):
        raise ValueError(
            f"the frames must be ({count}, {frame_count}, C, {rows}, {columns}), got {shapes}"
        )
    if 0 in frames.shape[1:] or 0 in kernels.shape[1:]:
        raise ValueError(f"empty frames cannot be filtered, got {shapes}")
    if not (frames.is_floating_point() and kernels.is_floating_point()):
        raise ValueError(
            f"floating tensors are needed, got frames {frames.dtype}, kernels {kernels.dtype}"
        )
    if frames.device != kernels.device:
        raise ValueError(
            f"frames and kernels must be on one device, got {frames.device}, {kernels.device}"
        )


class Implementation(Protocol):
    """A module that computes the operator and its gradients.

    Shapes are as in `adaptive_convolution`.
    """

    def adaptive_forward(self, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
        """Filter padded frames."""

    def adaptive_kernel_gradient(
        self, gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
    ) -> Tensor:
        """Return the gradient of the kernels, taps innermost in memory."""

    def adaptive_frame_gradient(
        self, gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
    ) -> Tensor:
        """Return the gradient of the padded frames."""


class FastImplementation(Implementation, Protocol):
    """An implementation of some tensors only."""

    def supports(self, frames: Tensor, /) -> bool:
        """Return whether it supports such frames."""


def load_halide() -> FastImplementation:
    """Import the CPU implementation."""
    import midframe.ops.adaptive.halide as halide

    return halide


def load_triton() -> FastImplementation:
    """Import the CUDA implementation."""
    import midframe.ops.adaptive.triton as triton

    return triton


def _implementation(frames: Tensor) -> Implementation:
    """Return the implementation for these tensors."""
    fast = for_device({"cpu": load_halide, "cuda": load_triton}, frames.device)
    return fast if fast is not None and fast.supports(frames) else reference


@torch.library.custom_op("midframe::adaptive_convolution", mutates_args=())
def _adaptive(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    return _implementation(frames).adaptive_forward(frames, kernels, stride)


@_adaptive.register_fake
def _(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    return frames.new_empty(frames.shape[0], frames.shape[2], *kernels.shape[4:])


@torch.library.custom_op("midframe::adaptive_kernel_gradient", mutates_args=())
def _kernel_gradient(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    return _implementation(frames).adaptive_kernel_gradient(gradient, frames, kernels, stride)


@_kernel_gradient.register_fake
def _(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    return reference.empty_taps_innermost(kernels)


@torch.library.custom_op("midframe::adaptive_frame_gradient", mutates_args=())
def _frame_gradient(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    return _implementation(frames).adaptive_frame_gradient(gradient, frames, kernels, stride)


@_frame_gradient.register_fake
def _(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    return frames.new_empty(frames.shape)


def _save_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # torch.library's context
    ctx.save_for_backward(*inputs[:2])
    ctx.stride = inputs[2]


def _backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]  # torch.library's context
    frames, kernels = ctx.saved_tensors
    gradient = gradient.to(frames.dtype).contiguous()
    arguments = (gradient, frames, kernels, ctx.stride)
    grad_frames = _frame_gradient(*arguments) if ctx.needs_input_grad[0] else None
    grad_kernels = _kernel_gradient(*arguments) if ctx.needs_input_grad[1] else None
    return grad_frames, grad_kernels, None


_adaptive.register_autograd(_backward, setup_context=_save_context)
for operator in (_adaptive, _kernel_gradient, _frame_gradient):
    operator.register_vmap(map_over_batch(operator))
