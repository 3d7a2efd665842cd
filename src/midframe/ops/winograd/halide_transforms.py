"""The transforms of Winograd convolution along one axis, as Halide expressions with few operations.

Points are opposite in pairs, p and -p: what they have in common is computed once.
"""

from collections.abc import Sequence
from typing import Any

import halide as hl
from torch import Tensor

from midframe.ops.winograd.transforms import TILE, transforms

SIZE = 3
SPAN = TILE + SIZE - 1
"""P: height and width of the features of a tile of outputs, 6."""
PAIRS = ((1, 2), (3, 4))
"""Indices in `POINTS` of pairs of opposite points."""


def transform_input(features: Sequence[Any]) -> list[Any]:
    """Multiply B^T with a column of `SPAN` features.

    The rows of opposite points differ in the sign of every second weight.
    """
    matrix = _weights(transforms(SIZE)[1])
    results = {index: _sum(matrix[index], features) for index in (0, SPAN - 1)}
    for first, second in PAIRS:
        equal = [
            weight if weight == other else 0.0
            for weight, other in zip(matrix[first], matrix[second], strict=True)
        ]
        opposite = [weight - other for weight, other in zip(matrix[first], equal, strict=True)]
        results[first] = _sum(equal, features) + _sum(opposite, features)
        results[second] = _sum(equal, features) - _sum(opposite, features)
    return [results[index] for index in range(SPAN)]


def transform_output(products: Sequence[Any]) -> list[Any]:
    """Multiply A^T with a column of `SPAN` products: `TILE` outputs.

    Output k has the powers p^k as weights, so opposite points differ in their sign for odd k.
    """
    matrix = _weights(transforms(SIZE)[2])
    sums = [products[first] + products[second] for first, second in PAIRS]
    differences = [products[first] - products[second] for first, second in PAIRS]
    results = []
    for power, weights in enumerate(matrix):
        pair_weights = [weights[first] for first, _ in PAIRS]
        terms = [products[0], *(differences if power % 2 else sums), products[-1]]
        results.append(_sum([weights[0], *pair_weights, weights[-1]], terms))
    return results


def _weights(matrix: Tensor) -> list[list[float]]:
    """Return a matrix without rounding errors of its inversion, so that zeros are exact."""
    weights: list[list[float]] = matrix.round(decimals=12).tolist()
    return weights


def _sum(weights: Sequence[float], values: Sequence[Any]) -> Any:
    """Return the sum of weighted values, without those of weight 0."""
    terms = [
        hl.f32(weight) * value for weight, value in zip(weights, values, strict=True) if weight
    ]
    return sum(terms[1:], terms[0])
