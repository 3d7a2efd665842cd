"""Local correlation in PyTorch: slow, simple, the reference for tests of the fast
implementation."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional


def correlation_forward(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """See `midframe.ops.local_correlation`."""
    like = [(first * moved).sum(1) for moved in _displacements(second, radius)]
    return torch.stack(like, dim=1)


def correlation_gradients(
    gradient: Tensor, first: Tensor, second: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of both, in their shape."""
    grad_first = torch.zeros_like(first)
    grad_padded = functional.pad(torch.zeros_like(second), [radius] * 4)
    height, width = first.shape[2:]
    for place, moved in enumerate(_displacements(second, radius)):
        wanted = gradient[:, place, None]
        grad_first.addcmul_(wanted, moved)
        y, x = divmod(place, 2 * radius + 1)
        grad_padded[..., y : y + height, x : x + width].addcmul_(wanted, first)
    return grad_first, grad_padded[
        ..., radius : radius + height, radius : radius + width
    ].contiguous()


def _displacements(features: Tensor, radius: int) -> Iterator[Tensor]:
    """Yield the features at every displacement up to a radius, with zeros outside, views of (N, C,
    H, W)."""
    height, width = features.shape[2:]
    padded = functional.pad(features, [radius] * 4)
    for y, x in product(range(2 * radius + 1), repeat=2):
        yield padded[..., y : y + height, x : x + width]
