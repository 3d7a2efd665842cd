"""Transforms of Winograd convolution (Lavin, Gray: Fast Algorithms for Convolutional Neural
Networks, CVPR 2016).

A tile Y of TILE x TILE outputs, from a kernel g and P x P features d, P = TILE + size - 1, is their
equation 8, `*` being the element-wise product:

    Y = A^T ((G g G^T) * (B^T d B)) A

Along one axis this is the transpose of multiplying polynomials by their values at P points: G and A
evaluate polynomials of `size` and TILE coefficients there, and B is the inverse of the matrix that
evaluates one of P coefficients. A tile of 4x4 outputs of a 4x4 kernel needs 7x7 multiplications
instead of 256, one of a 3x3 kernel 6x6 instead of 144.
"""

import torch
from torch import Tensor

TILE = 4
"""Height and width of a tile of outputs."""
POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, -2.0)
"""Points at which polynomials are evaluated, besides infinity. These lose the least precision of
those tried; opposite points are adjacent and share half of their computation."""


def transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrices for kernels of `size` taps, float64.

    Returns:
        G (P, size) from taps to values, B^T (P, P) from features to values, and A^T (TILE, P) from
        products of values to outputs.
    """
    count = TILE + size - 1  # P
    if not 1 <= size <= len(POINTS) + 2 - TILE:
        raise ValueError(f"size is {size}: from 1 to {len(POINTS) + 2 - TILE} taps are possible")
    from_features = torch.linalg.inv(_evaluation(count, count)).T
    # The products do not depend on the scale; this one makes the values equally large.
    scale = from_features.abs().sum(1, keepdim=True)
    return _evaluation(size, count) * scale, from_features / scale, _evaluation(TILE, count).T


def kernel_values(weight: Tensor) -> Tensor:
    """Transform square kernels (outputs, inputs, size, size) to G g G^T, (P*P, inputs, outputs),
    float32."""
    from_kernel = transforms(weight.shape[-1])[0]
    values = torch.einsum("xi,ocij,yj->xyco", from_kernel, weight.double(), from_kernel)
    return values.flatten(0, 1).float().contiguous()


def _evaluation(coefficients: int, count: int) -> Tensor:
    """Return the matrix (count, coefficients) that evaluates a polynomial at all but one of `count`
    points and at infinity."""
    points = torch.tensor(POINTS[: count - 1], dtype=torch.float64)
    at_infinity = torch.zeros(1, coefficients, dtype=torch.float64)
    at_infinity[0, -1] = 1
    return torch.cat([points[:, None] ** torch.arange(coefficients), at_infinity])
