"""The alignment of both frames in PyTorch."""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import FieldLayout
from midframe.ops.accumulation import at_least_float32
from midframe.ops.warping import warp

AREA = 9
"""Side of the squares over which differences are averaged, in values of the fields, odd."""

MEASURES = 3
"""Channels of the result: the inconsistency, the difference along the flows, and in place."""


def alignment(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    """See `Steps.alignment`. Differentiable."""
    layout = FieldLayout.of(fields)
    in_place = _difference(at_least_float32(first), at_least_float32(second))
    along_flows = _difference(
        warp(first, fields[:, layout.flow_to_first]), warp(second, fields[:, layout.flow_to_second])
    )
    mask = fields[:, layout.mask]
    undecided = 4 * mask * (1 - mask)
    values = torch.cat((undecided * along_flows, along_flows, in_place), 1)
    return functional.avg_pool2d(values, AREA, stride=1, padding=AREA // 2, count_include_pad=False)


def _difference(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().mean(1, keepdim=True)
