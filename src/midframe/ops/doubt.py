"""How much two frames disagree along the flows to them, where nothing decides between them."""

from torch import Tensor
from torch.nn import functional

from midframe.ops.dispatch import cuda_module, forward_module
from midframe.ops.warping import warp

AREA = 9
"""Doubt is averaged over so many values of fields along each axis, odd."""


def doubt(first: Tensor, second: Tensor, said: Tensor, taps: int) -> Tensor:
    """How much frames disagree where nothing decides between them, (N, 1, h, w), from 0 to 1 in brightness.

    Args:
        first, second: the frames at the size of the fields, (N, 3, h, w) in [0, 1], float32.
        said: fields as `synthesise` takes them, (N, 4 + 4K + 4, h, w).
        taps: K.

    Returns:
        Doubt, averaged over squares of `AREA` values, what lies outside left out. Differentiable; without
        gradients, on the CPU by Halide and on CUDA by Triton.
    """
    fast = cuda_module("doubt_cuda", first, has_gradients=False) or forward_module("doubt_cpu", first)
    if fast:
        result: Tensor = fast.doubt(first, second, said, taps)
        return result
    return doubt_plainly(first, second, said, taps)


def doubt_plainly(first: Tensor, second: Tensor, said: Tensor, taps: int) -> Tensor:
    """`doubt` in PyTorch."""
    along = [warp(frame, flow) for frame, flow in zip((first, second), said[:, :4].chunk(2, 1), strict=True)]
    apart = (along[0] - along[1]).abs().mean(1, keepdim=True)
    share = said[:, 4 + 4 * taps, None]
    undecided = 4 * share * (1 - share)
    return functional.avg_pool2d(apart * undecided, AREA, stride=1, padding=AREA // 2, count_include_pad=False)
