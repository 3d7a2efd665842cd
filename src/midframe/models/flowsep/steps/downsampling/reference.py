"""Downsampling in PyTorch."""

from torch import Tensor
from torch.nn import functional


def downsample(frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
    """See `Steps.downsample`. Differentiable."""
    if factor == 1:
        return pad_to_multiple(frame, multiple)
    smaller = functional.avg_pool2d(pad_to_multiple(frame, factor), factor)
    return pad_to_multiple(smaller, multiple)


def pad_to_multiple(frame: Tensor, multiple: int) -> Tensor:
    """Repeat the edges of a frame (N, C, H, W) below and on the right up to multiples of a size."""
    height, width = frame.shape[2:]
    below = -height % multiple
    right = -width % multiple
    if not below and not right:
        return frame
    return functional.pad(frame, (0, right, 0, below), mode="replicate")
