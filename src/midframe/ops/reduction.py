"""Frames made smaller by averaging, which is how networks read large ones."""

from torch import Tensor
from torch.nn import functional

from midframe.ops.dispatch import forward_module


def reduced(frame: Tensor, scale: int) -> Tensor:
    """A frame (N, C, H, W) so many times smaller, every value the mean of a square; what is left over is not seen.

    Differentiable; on the CPU, without gradients, float32 by Halide, which leaves the colours of pixels side by side.
    """
    if scale == 1:
        return frame
    if min(frame.shape[2:]) >= scale and (fast := forward_module("reduction_cpu", frame)):
        result: Tensor = fast.reduced(frame, scale)
        return result
    return functional.avg_pool2d(frame, scale)
