"""Transforms of Winograd convolution (Lavin, Gray: Fast Algorithms for Convolutional Neural
Networks, CVPR 2016).

A row of outputs is a product of polynomials, and a polynomial is determined by its values at some
points. So a tile of 4x4 outputs of a 4x4 kernel needs 7x7 products of such values instead of 256
products of numbers, and one of a 3x3 kernel 6x6 instead of 144.
"""

import torch
from torch import Tensor

TILE = 4
"""Height and width of a tile of outputs."""
POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, -2.0)
"""Points at which polynomials are evaluated, besides infinity. These lose the least precision of
those tried; opposite points are adjacent and share half of their computation."""


def transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the one-dimensional matrices, float64, for kernels of `size` taps.

    Returns:
        From taps to values (P, size), from features to values (P, P) and from products of values to
        outputs (TILE, P), where P = TILE + size - 1.
    """
    count = TILE + size - 1
    if not 1 <= size <= len(POINTS) + 2 - TILE:
        raise ValueError(f"size is {size}: from 1 to {len(POINTS) + 2 - TILE} taps are possible")
    features = torch.linalg.inv(_values_of(count, count)).T
    # The products do not depend on the scale; this one makes the values equally large.
    scale = features.abs().sum(1, keepdim=True)
    return _values_of(size, count) * scale, features / scale, _values_of(TILE, count).T


def kernel_values(weight: Tensor) -> Tensor:
    """Transform square kernels (outputs, inputs, size, size), float32, to (P*P, inputs,
    outputs)."""
    from_kernel = transforms(weight.shape[-1])[0]
    values = torch.einsum("xi,ocij,yj->xyco", from_kernel, weight.double(), from_kernel)
    return values.flatten(0, 1).float().contiguous()


def _values_of(coefficients: int, count: int) -> Tensor:
    """Return the matrix (count, coefficients) that evaluates a polynomial at all but one of `count`
    points and at infinity."""
    points = torch.tensor(POINTS[: count - 1], dtype=torch.float64)
    at_infinity = torch.zeros(1, coefficients, dtype=torch.float64)
    at_infinity[0, -1] = 1
    return torch.cat([points[:, None] ** torch.arange(coefficients), at_infinity])
