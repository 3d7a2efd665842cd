"""Separable convolution along a flow: the public function, its checks, its registration with
PyTorch, its dispatch."""

from typing import Protocol

import torch
from torch import Tensor

from midframe.ops.accumulation import widen_on_cpu
from midframe.ops.dispatch import for_device
from midframe.ops.flow_separable import reference
from midframe.ops.function_transforms import map_over_batch, uses_pytorch
from midframe.ops.resampling import Resampling, check_resampling

MAX_TAPS = 11
"""The longest kernel that the fast implementations are tested for, in pixels; longer ones use
PyTorch."""


def flow_separable_convolution(
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    *,
    resampling: Resampling = "linear",
) -> Tensor:
    """Filter a frame at the positions of a flow, with a separable kernel for every pixel.

    `out[n,c,y,x] = sum_ij vertical[n,i,y,x] * horizontal[n,j,y,x] * frame[n,c, y + flow[n,1,y,x] +
    i - K//2, x + flow[n,0,y,x] + j - K//2]`, between pixels by linear or cubic interpolation along
    both axes, outside the frame by its nearest pixel. With one tap of 1 it is backward warping;
    with no flow, separable convolution (AdaCoF and DSepConv have an offset for each tap instead of
    one flow).

    Differentiable once in all arguments; works under autocast and torch.compile. On the CPU float32
    and 16-bit frames use a Halide pipeline, on CUDA tensors of any type but float64 use Triton
    kernels; everything else, and kernels of more than 11 taps, uses PyTorch.
    With derivatives of `torch.func` and in forward mode, PyTorch's operations are used too; outside
    of them a second derivative is an error.

    Args:
        frame: (N, C, A, B), floating, of any size.
        flow: displacement from each pixel of the result to its source, (N, 2, H, W), x before y,
            in pixels. Where it is not finite, the result is NaN.
        vertical: the columns, (N, K, H, W), floating, K odd.
        horizontal: the rows, (N, K, H, W), of the same type.
        resampling: "linear", or "cubic" for Keys' cubic convolution with a = -1/2 (IEEE TASSP
            29(6), 1981), which blurs less; it equals linear where the flow is whole pixels.

    Returns:
        (N, C, H, W), in the type of `frame`.

    Raises:
        ValueError: shapes, types or devices do not fit together, or an unknown resampling; the
            message names them.

    Examples:
        >>> frame = torch.rand(1, 3, 8, 10)
        >>> flow, one = torch.zeros(1, 2, 8, 10), torch.ones(1, 1, 8, 10)
        >>> flow[:, 0] = 2  # everything comes from two pixels to the right
        >>> torch.equal(flow_separable_convolution(frame, flow, one, one)[..., :8], frame[..., 2:])
        True
    """
    check_resampling(resampling)
    _check(frame, flow, vertical, horizontal)
    if torch.compiler.is_exporting():
        return reference.flow_separable_by_sampling(frame, flow, vertical, horizontal, resampling)
    flow = flow.float() if flow.dtype != torch.float64 else flow
    if vertical.shape[1] > MAX_TAPS or uses_pytorch(frame, flow, vertical, horizontal):
        return reference.flow_separable_forward(frame, flow, vertical, horizontal, resampling)
    wide, *kernels = widen_on_cpu(frame, vertical, horizontal)
    result: Tensor = _flow_separable(wide, flow, *kernels, resampling)
    return result.to(frame.dtype)


def _check(frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor) -> None:
    tensors = {"frame": frame, "flow": flow, "vertical": vertical, "horizontal": horizontal}
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
    if any(tensor.ndim != 4 for tensor in tensors.values()):
        raise ValueError(f"tensors of rank 4 are needed, got {shapes}")
    if vertical.shape != horizontal.shape:
        raise ValueError(
            f"vertical and horizontal kernels must have one shape (N, K, H, W), got {shapes}"
        )
    count, taps, height, width = vertical.shape
    if taps % 2 == 0:
        raise ValueError(f"the number of taps must be odd, got {taps}")
    if flow.shape != (count, 2, height, width) or len(frame) != count:
        raise ValueError(
            f"the flow must be ({count}, 2, {height}, {width}), for {count} frames, got {shapes}"
        )
    if any(0 in tensor.shape[1:] for tensor in tensors.values()):
        raise ValueError(f"empty tensors cannot be filtered, got {shapes}")
    types = ", ".join(f"{name} {tensor.dtype}" for name, tensor in tensors.items())
    if (
        not all(tensor.is_floating_point() for tensor in tensors.values())
        or vertical.dtype != horizontal.dtype
    ):
        raise ValueError(f"floating tensors are needed, both kernels of one type, got {types}")
    if len({tensor.device for tensor in tensors.values()}) > 1:
        devices = ", ".join(f"{name} {tensor.device}" for name, tensor in tensors.items())
        raise ValueError(f"all tensors must be on one device, got {devices}")


class Implementation(Protocol):
    """A module that computes the operator and its gradients.

    Shapes are as in `flow_separable_convolution`.
    """

    def flow_separable_forward(
        self, frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
    ) -> Tensor:
        """Filter along the flow."""

    def flow_separable_gradients(
        self,
        gradient: Tensor,
        frame: Tensor,
        flow: Tensor,
        vertical: Tensor,
        horizontal: Tensor,
        resampling: str,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the flow and of both kernels, in their types."""

    def flow_separable_frame_gradient(
        self,
        gradient: Tensor,
        frame: Tensor,
        flow: Tensor,
        vertical: Tensor,
        horizontal: Tensor,
        resampling: str,
    ) -> Tensor:
        """Return the gradient of the frame."""


class FastImplementation(Implementation, Protocol):
    """An implementation of some tensors only."""

    def supports(self, frame: Tensor, kernel: Tensor, /) -> bool:
        """Return whether it supports such tensors."""


def load_halide() -> FastImplementation:
    """Import the CPU implementation."""
    import midframe.ops.flow_separable.halide as halide

    return halide


def load_triton() -> FastImplementation:
    """Import the CUDA implementation."""
    import midframe.ops.flow_separable.triton as triton

    return triton


def _implementation(frame: Tensor, kernel: Tensor) -> Implementation:
    """Return the implementation for these tensors."""
    fast = for_device({"cpu": load_halide, "cuda": load_triton}, frame.device)
    return fast if fast is not None and fast.supports(frame, kernel) else reference


@torch.library.custom_op("midframe::flow_separable_convolution", mutates_args=())
def _flow_separable(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    forward = _implementation(frame, vertical).flow_separable_forward
    return forward(frame, flow, vertical, horizontal, resampling)


@_flow_separable.register_fake
def _(frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str) -> Tensor:
    return frame.new_empty(*frame.shape[:2], *flow.shape[2:])


@torch.library.custom_op("midframe::flow_separable_gradients", mutates_args=())
def _gradients(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    module = _implementation(frame, vertical)
    return module.flow_separable_gradients(gradient, frame, flow, vertical, horizontal, resampling)


@_gradients.register_fake
def _(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        flow.new_empty(flow.shape),
        vertical.new_empty(vertical.shape),
        horizontal.new_empty(horizontal.shape),
    )


@torch.library.custom_op("midframe::flow_separable_frame_gradient", mutates_args=())
def _frame_gradient(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> Tensor:
    module = _implementation(frame, vertical)
    return module.flow_separable_frame_gradient(
        gradient, frame, flow, vertical, horizontal, resampling
    )


@_frame_gradient.register_fake
def _(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> Tensor:
    return frame.new_empty(frame.shape)


def _save_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # torch.library's context
    *tensors, ctx.resampling = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]  # torch.library's context
    frame, flow, vertical, horizontal = ctx.saved_tensors
    inputs = (
        gradient.to(frame.dtype).contiguous(),
        frame,
        flow,
        vertical,
        horizontal,
        ctx.resampling,
    )
    grad_frame = grad_flow = grad_vertical = grad_horizontal = None
    if ctx.needs_input_grad[0]:
        grad_frame = _frame_gradient(*inputs)
    if any(ctx.needs_input_grad[1:]):
        grad_flow, grad_vertical, grad_horizontal = _gradients(*inputs)
    return grad_frame, grad_flow, grad_vertical, grad_horizontal, None


_flow_separable.register_autograd(_backward, setup_context=_save_context)
for operator in (_flow_separable, _gradients, _frame_gradient):
    operator.register_vmap(map_over_batch(operator))
