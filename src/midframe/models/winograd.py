"""Convolution by few products (Lavin, Gray: Fast Algorithms for Convolutional Neural Networks, CVPR 2016).

A row of outputs is a product of polynomials, and a polynomial is known by its values: of a 4x4 kernel, a tile of 4x4
outputs is found from 7x7 products of values instead of 256 of numbers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

TILE = 4
"""Height and width of the outputs that are made together."""
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0, -0.5)
"""Where polynomials are evaluated, beside infinity. These lose the fewest digits of those that were tried."""


class WinogradConvolution(nn.Module):
    """A convolution of stride 1 without padding, of a square kernel of up to 4x4, for inference in float32.

    It holds the kernel's values beside the kernel, three times its size, and differs from the plain convolution by some
    1e-5 of the largest output: too much for types of fewer digits.

    Args:
        layer: the plain convolution, which goes on to make what is smaller than a tile.
    """

    values: Tensor
    from_features: Tensor
    to_outputs: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        from_kernel, from_features, to_outputs = transforms(layer.kernel_size[0])
        values = torch.einsum("xi,ocij,yj->xyco", from_kernel, layer.weight.double(), from_kernel)
        self.register_buffer("values", values.flatten(0, 1).float().contiguous())  # (P*P, inputs, outputs)
        self.register_buffer("from_features", torch.kron(from_features, from_features).float())  # (P*P, P*P)
        self.register_buffer("to_outputs", torch.kron(to_outputs, to_outputs).float())  # (TILE*TILE, P*P)

    def forward(self, features: Tensor) -> Tensor:
        size = self.layer.kernel_size[0]
        height, width = (extent - size + 1 for extent in features.shape[2:])
        down, across = (-(-extent // TILE) for extent in (height, width))
        if height * width * size**2 < down * across * len(self.values):
            return self.layer(features)  # type: ignore[no-any-return]
        padded = functional.pad(features, (0, across * TILE - width, 0, down * TILE - height))
        span = TILE + size - 1
        tiles = padded.permute(0, 2, 3, 1).unfold(1, span, TILE).unfold(2, span, TILE)  # (N, down, across, C, P, P)
        values = self.from_features @ tiles.permute(4, 5, 0, 1, 2, 3).reshape(span**2, -1)  # (P*P, tiles*C)
        products = torch.bmm(values.view(span**2, -1, features.shape[1]), self.values)  # (P*P, tiles, outputs)
        made = (self.to_outputs @ products.flatten(1)).view(TILE, TILE, len(features), down, across, -1)
        made = made.permute(2, 3, 0, 4, 1, 5).reshape(len(features), down * TILE, across * TILE, -1)
        if self.layer.bias is not None:
            made += self.layer.bias
        return made[:, :height, :width].permute(0, 3, 1, 2)


def transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices of one dimension, float64, for kernels of `size` taps.

    Returns:
        From taps to values (P, size), from features to values (P, P) and from products of values to outputs (TILE, P),
        where P = TILE + size - 1.
    """
    count = TILE + size - 1
    if not 1 <= size <= len(POINTS) + 2 - TILE:
        raise ValueError(f"size is {size}: from 1 to {len(POINTS) + 2 - TILE} taps are possible")
    features = torch.linalg.inv(_values_of(count, count)).T
    scale = features.abs().sum(1, keepdim=True)  # of any scale the products are the same; of this they are of one size
    return _values_of(size, count) * scale, features / scale, _values_of(TILE, count).T


def _values_of(coefficients: int, count: int) -> Tensor:
    """The matrix (count, coefficients) that evaluates a polynomial at all but one of `count` points and at infinity."""
    points = torch.tensor(POINTS[: count - 1], dtype=torch.float64)
    at_infinity = torch.zeros(1, coefficients, dtype=torch.float64)
    at_infinity[0, -1] = 1
    return torch.cat([points[:, None] ** torch.arange(coefficients), at_infinity])
