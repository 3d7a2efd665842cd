"""Local correlation in PyTorch: slow, simple, the reference for tests of the fast
implementation."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional


def correlation_forward(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """See `midframe.ops.local_correlation`."""
    correlations = [(first * displaced).sum(1) for displaced in _displace(second, radius)]
    return torch.stack(correlations, dim=1)


def correlation_gradients(
    gradient: Tensor, first: Tensor, second: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of both, in their shape."""
    grad_first = torch.zeros_like(first)
    grad_padded = functional.pad(torch.zeros_like(second), [radius] * 4)
    height, width = first.shape[2:]
    for index, displaced in enumerate(_displace(second, radius)):
        grad_output = gradient[:, index, None]
        grad_first.addcmul_(grad_output, displaced)
        i, j = divmod(index, 2 * radius + 1)
        grad_padded[..., i : i + height, j : j + width].addcmul_(grad_output, first)
    return grad_first, grad_padded[
        ..., radius : radius + height, radius : radius + width
    ].contiguous()


def _displace(features: Tensor, radius: int) -> Iterator[Tensor]:
    """Yield the features at every displacement up to a radius, row by row, with zeros outside,
    views of (N, C, H, W)."""
    height, width = features.shape[2:]
    padded = functional.pad(features, [radius] * 4)
    for i, j in product(range(2 * radius + 1), repeat=2):
        yield padded[..., i : i + height, j : j + width]
