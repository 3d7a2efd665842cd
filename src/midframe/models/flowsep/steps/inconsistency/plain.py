"""Inconsistency in PyTorch."""

from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import FieldLayout
from midframe.ops.warping import warp

AREA = 9
"""Side of the squares over which inconsistency is averaged, in values of the fields, odd."""


def inconsistency(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    """See `Steps.inconsistency`. Differentiable."""
    layout = FieldLayout.of(fields)
    first = warp(first, fields[:, layout.flow_to_first])
    second = warp(second, fields[:, layout.flow_to_second])
    difference = (first - second).abs().mean(1, keepdim=True)
    mask = fields[:, layout.mask]
    undecided = 4 * mask * (1 - mask)
    return functional.avg_pool2d(
        difference * undecided, AREA, stride=1, padding=AREA // 2, count_include_pad=False
    )
