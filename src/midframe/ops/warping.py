"""Backward warping, at the low resolutions of networks."""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.accumulation import at_least_float32


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample features (N, C, h, w) at the positions of a flow (N, 2, h, w), bilinear, in float32 or
    float64:
    `out[c, y, x] = features[c, y + flow[1, y, x], x + flow[0, y, x]]`. Outside is the edge. Flows
    that are NaN, as of a training that diverges, sample the first row or column."""
    height, width = features.shape[2:]
    x = torch.arange(width, device=flow.device) + at_least_float32(flow[:, 0])
    y = torch.arange(height, device=flow.device)[:, None] + at_least_float32(flow[:, 1])
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    grid = grid.nan_to_num(nan=-1.0)  # the gradient on the CPU addresses memory by NaN: a crash
    return functional.grid_sample(
        features.to(grid.dtype), grid, padding_mode="border", align_corners=False
    )
