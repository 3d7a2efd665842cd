"""Flow propagation in PyTorch."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.constants import constant
from midframe.ops.warping import warp

MIN_DEVIATION = 1 / 255
"""Minimum of the deviation by which frames are divided."""
WINDOW_RADIUS = 2
"""Radius in pixels of the squares over which frames are compared."""
CANDIDATES = ((0, 0), (-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Offsets of the candidates, in steps down and to the right; of equal ones the first is taken."""

Choose = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Function of both standardised frames, the flow and the distance; returns an index for each
pixel."""


def propagate_flow(
    first: Tensor, second: Tensor, flow: Tensor, distance: int, choose: Choose | None = None
) -> Tensor:
    """See `Steps.propagate_flow`; `choose` is `choose_candidates` or another implementation of
    it."""
    if distance == 0:
        return flow
    chosen = select_flow(first, second, flow, distance, choose)
    return functional.avg_pool2d(chosen, 3, stride=1, padding=1, count_include_pad=False)


def select_flow(
    first: Tensor, second: Tensor, flow: Tensor, distance: int, choose: Choose | None = None
) -> Tensor:
    """Compute `propagate_flow` without the mean: each flow is one of the given ones."""
    height, width = flow.shape[2:]
    with torch.no_grad():
        indices = (choose or choose_candidates)(
            standardise(first), standardise(second), flow, distance
        )
    offsets = constant(CANDIDATES, flow.device) * distance
    y = torch.arange(height, device=flow.device)[:, None]
    x = torch.arange(width, device=flow.device)
    rows = (y + offsets[:, 0][indices]).clamp(0, height - 1)  # (N, h, w)
    columns = (x + offsets[:, 1][indices]).clamp(0, width - 1)  # (N, h, w)
    pixels = (rows * width + columns).flatten(1)[:, None].expand(-1, 4, -1)  # (N, 4, h * w)
    return flow.flatten(2).gather(2, pixels).view_as(flow)


def standardise(frame: Tensor) -> Tensor:
    """Subtract each colour's mean and divide by its deviation, so that frames of a fade compare."""
    frame = frame - frame.mean((2, 3), keepdim=True)
    deviation = frame.square().mean((2, 3), keepdim=True).sqrt()
    return frame / deviation.clamp(min=MIN_DEVIATION)


def choose_candidates(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """Return the index in `CANDIDATES` that each pixel takes, (N, h, w): of the least difference.

    Args:
        first, second: standardised frames at the size of the flow, (N, C, h, w).
        flow, distance: as in `propagate_flow`.
    """
    return candidate_differences(first, second, flow, distance).argmin(1)


def candidate_differences(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """Return how much both frames differ along each candidate's flow, (N, 9, h, w).

    It is the mean of absolute differences over all channels and over the pixels up to
    `WINDOW_RADIUS` away, zero outside.
    """
    height, width = flow.shape[2:]
    padded = functional.pad(flow, [distance] * 4, mode="replicate")
    differences = []
    for down, right in CANDIDATES:
        top = distance * (1 + down)
        left = distance * (1 + right)
        to_first, to_second = padded[..., top : top + height, left : left + width].chunk(2, 1)
        difference = (warp(first, to_first) - warp(second, to_second)).abs()
        differences.append(difference.mean(1, keepdim=True))
    window = 2 * WINDOW_RADIUS + 1
    return functional.avg_pool2d(torch.cat(differences, 1), window, stride=1, padding=WINDOW_RADIUS)
