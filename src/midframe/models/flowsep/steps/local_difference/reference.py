"""The largest local difference in PyTorch."""

from torch import Tensor
from torch.nn import functional

REACH = 2
"""The maximum is taken over squares of `2 * REACH + 1` values along each axis."""


def local_difference(first: Tensor, second: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """See `Steps.local_difference`. Differentiable."""
    difference = (first - second).abs().amax(1, keepdim=True)
    height, width = size
    below = height * factor - first.shape[2]
    right = width * factor - first.shape[3]
    if below or right:
        difference = functional.pad(difference, (0, right, 0, below), mode="replicate")
    squares = functional.max_pool2d(difference, factor)  # (N, 1, h, w)
    return functional.max_pool2d(squares, 2 * REACH + 1, stride=1, padding=REACH)
