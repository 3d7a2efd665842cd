"""The difference of two frames at the same place, at full resolution, reduced by its maximum."""

from torch import Tensor
from torch.nn import functional

from midframe.ops.dispatch import forward_module

REACH = 2
"""The maximum is taken over squares of `2 * REACH + 1` values along each axis."""


def local_difference(first: Tensor, second: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """Measure the largest difference of two frames around each value of fields, (N, 1, h, w).

    An average would hide changes that alternate from pixel to pixel (a checkerboard that inverts).

    Args:
        first, second: frames (N, C, H, W), float32; all channels count.
        factor: pixels along each axis of the square that a value of the fields covers.
        size: height and width of the fields; `factor` times them are at least the frames' sizes.

    Returns:
        The largest absolute difference over `REACH` values in each direction. Differentiable; on
        the CPU, without gradients, by Halide.
    """
    if fast := forward_module("difference_cpu", first):
        result: Tensor = fast.local_difference(first, second, factor, size)
        return result
    return local_difference_plainly(first, second, factor, size)


def local_difference_plainly(first: Tensor, second: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """`local_difference` in PyTorch."""
    apart = (first - second).abs().amax(1, keepdim=True)
    below, right = (extent * factor - own for extent, own in zip(size, first.shape[2:], strict=True))
    if below or right:
        apart = functional.pad(apart, (0, right, 0, below), mode="replicate")
    squares = functional.max_pool2d(apart, factor)  # (N, 1, h, w)
    return functional.max_pool2d(squares, 2 * REACH + 1, stride=1, padding=REACH)
