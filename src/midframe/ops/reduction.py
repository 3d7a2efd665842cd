"""Frames made smaller by averaging, which is how networks read large ones."""

from torch import Tensor
from torch.nn import functional

from midframe.ops.dispatch import cuda_module, forward_module


def reduced(frame: Tensor, scale: int, multiple: int = 1) -> Tensor:
    """A frame (N, C, H, W) so many times smaller, every value the mean of a square.

    Its edges are repeated below and on the right as far as its size, and then the result's, are no whole multiples.
    Differentiable; without gradients, on CUDA by Triton, and on the CPU, float32 by Halide, which leaves the colours of
    pixels side by side.
    """
    result: Tensor
    if scale == 1:
        return padded(frame, multiple)
    if fast := cuda_module("reduction_cuda", frame, has_gradients=False):
        result = fast.reduced(frame, scale, multiple)
        return result
    frame = padded(frame, scale)
    if fast := forward_module("reduction_cpu", frame):
        result = fast.reduced(frame, scale, multiple)
        return result
    return padded(functional.avg_pool2d(frame, scale), multiple)


def padded(frame: Tensor, multiple: int) -> Tensor:
    """A frame (N, C, H, W) with its edges repeated below and on the right, up to a multiple of a size."""
    below, right = (-size % multiple for size in frame.shape[2:])
    return functional.pad(frame, (0, right, 0, below), mode="replicate") if below or right else frame
