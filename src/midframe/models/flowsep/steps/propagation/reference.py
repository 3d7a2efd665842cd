"""Flow propagation in PyTorch."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps.propagation.comparison import difference, standardise
from midframe.models.flowsep.steps.propagation.dominant_motions import (
    ChooseMotions,
    follow_dominant_motions,
)
from midframe.ops.constants import constant
from midframe.ops.warping import warp

CANDIDATES = ((0, 0), (-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Offsets of the candidates, in steps down and to the right; of equal ones the first is taken."""

Choose = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Function of both standardised frames, the flow and the distance; returns an index for each
pixel."""


def propagate_flow(
    first: Tensor,
    second: Tensor,
    flow: Tensor,
    t: Tensor,
    distance: int,
    dominant_motions: int,
    choose: Choose | None = None,
    choose_motions: ChooseMotions | None = None,
) -> Tensor:
    """See `Steps.propagate_flow`; `choose` is `choose_candidates`, and `choose_motions` the
    function of that name, or another implementation of it."""
    if distance == 0 and dominant_motions == 0:
        return flow
    first, second = standardise(first), standardise(second)
    if distance:
        with torch.no_grad():
            index = (choose or choose_candidates)(first, second, flow, distance)
        flow = take_candidates(flow, index, distance)
    if dominant_motions:
        flow = follow_dominant_motions(first, second, flow, t, dominant_motions, choose_motions)
    return functional.avg_pool2d(flow, 3, stride=1, padding=1, count_include_pad=False)


def take_candidates(flow: Tensor, index: Tensor, distance: int) -> Tensor:
    """Return the flow of the candidate that each pixel takes, (N, 4, h, w).

    Args:
        flow, distance: as in `Steps.propagate_flow`.
        index: in `CANDIDATES`, (N, h, w).
    """
    height, width = flow.shape[2:]
    offsets = constant(CANDIDATES, flow.device) * distance
    y = torch.arange(height, device=flow.device)[:, None]
    x = torch.arange(width, device=flow.device)
    rows = (y + offsets[:, 0][index]).clamp(0, height - 1)  # (N, h, w)
    columns = (x + offsets[:, 1][index]).clamp(0, width - 1)  # (N, h, w)
    pixels = (rows * width + columns).flatten(1)[:, None].expand(-1, 4, -1)  # (N, 4, h * w)
    return flow.flatten(2).gather(2, pixels).view_as(flow)


def choose_candidates(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """Return the index in `CANDIDATES` of the least difference for each pixel, (N, h, w).

    Args:
        first, second: standardised frames at the size of the flow, (N, C, h, w).
        flow, distance: as in `propagate_flow`.
    """
    return candidate_differences(first, second, flow, distance).argmin(1)


def candidate_differences(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """Return how much both frames differ along each candidate's flow, (N, 9, h, w)."""
    height, width = flow.shape[2:]
    padded = functional.pad(flow, [distance] * 4, mode="replicate")
    differences = []
    for down, right in CANDIDATES:
        top = distance * (1 + down)
        left = distance * (1 + right)
        to_first, to_second = padded[..., top : top + height, left : left + width].chunk(2, 1)
        differences.append(difference(warp(first, to_first), warp(second, to_second)))
    return torch.cat(differences, 1)
