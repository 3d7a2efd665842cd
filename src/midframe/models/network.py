"""What every network offers to those that use it."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from midframe.models.winograd import use_winograd


class Network(nn.Module):
    """A network that makes the middle of two frames (N, 3, H, W) in [0, 1], the whole at once or part by part.

    `forward(first, second)` makes it whole, not clipped. `prepare` and `render_tile` make any
    rectangle of it alone, so that memory need not grow with the frame. A fourth channel (alpha) is
    filtered with the kernels of the colours.
    """

    config: Any
    """The dataclass of its form."""
    tile: int
    """Side in pixels of the parts that a large frame is best made in; 0 for the whole."""
    any_time = False
    """Whether it makes frames at any time; if not, the middle."""
    scale: int = 1
    """How many times smaller it reads frames; 0 to choose by their size, where a network can."""

    @property
    def margin(self) -> int:
        """Pixels around a part that are computed with it and thrown away."""
        return 0

    def prepare(self, first: Tensor, second: Tensor) -> Any:
        """What all parts of a pair of frames share."""
        raise NotImplementedError

    def render_tile(self, prepared: Any, rows: slice, columns: slice, t: float = 0.5) -> Tensor:
        """Make a rectangle of the frame at a time, as it is in the whole, not clipped.

        Only a network that makes `any_time` may be asked for one other than the middle.
        """
        raise NotImplementedError

    def pairs_at_once(self, height: int, width: int) -> int:
        """How many pairs of such frames at most are best made at the same time on a processor, in a thread each."""
        return 1

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """The kernels of one pixel of the middle frame for both frames, (N, 2, K, K)."""
        raise NotImplementedError

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """The motion from the first to the second frame that the kernels show, (N, 2, h, w), x before y, in pixels."""
        raise NotImplementedError

    def for_inference(self, precision: torch.dtype = torch.float32) -> Network:
        """A copy with weights of one type that is ready to make frames, but not to be trained on."""
        ready = copy.deepcopy(self).eval().requires_grad_(False).to(precision)
        if precision in (torch.float32, torch.bfloat16):
            use_winograd(ready)
        return ready


class Statistics(NamedTuple):
    """Joint mean and standard deviation of a pair of frames, both (N, 1, 1, 1)."""

    mean: Tensor
    deviation: Tensor


def pair_statistics(first: Tensor, second: Tensor) -> Statistics:
    """Measure a pair of frames (N, C, H, W) as pair normalisation needs it."""
    frames = first.float(), second.float()
    mean = torch.stack([frame.mean((1, 2, 3), keepdim=True) for frame in frames]).mean(0)
    squares = torch.stack([(frame - mean).square().mean((1, 2, 3), keepdim=True) for frame in frames]).mean(0)
    return Statistics(mean, squares.sqrt().clamp(min=1e-3))


def tiles(height: int, width: int, size: int, margin: int = 0) -> list[tuple[slice, slice]]:
    """Cover a frame with rectangles, rows and columns of `size` at most, or with one if that is hardly larger."""
    if not size or max(height, width) <= size + 2 * margin:
        return [(slice(0, height), slice(0, width))]
    spans = [
        [slice(start, min(start + size, extent)) for start in range(0, extent, size)] for extent in (height, width)
    ]
    return list(product(*spans))


def motion_between(vertical: Tensor, horizontal: Tensor) -> Tensor:
    """The motion from the first to the second frame that the centres of mass of kernels show.

    A pixel halfway between two frames lies as far back in the first as it lies ahead in the second; a frame counts by
    the weight that its kernel has, so a pixel that is seen in one frame alone moves as that one says.

    Args:
        vertical, horizontal: the kernels summed along rows and along columns, (N, 2, K, H, W), first frame first.

    Returns:
        (N, 2, H, W), x before y, in pixels.
    """
    taps = torch.arange(vertical.shape[2], device=vertical.device).float() - vertical.shape[2] // 2
    sign = torch.tensor([-2.0, 2.0], device=vertical.device)
    moved = []
    for weights in (horizontal, vertical):
        weights = weights.float().clamp(min=0)  # (N, 2, K, H, W)
        mass = weights.sum((1, 2)).clamp(min=1e-6)  # (N, H, W)
        moved.append(torch.einsum("nfkhw,k,f->nhw", weights, taps, sign) / mass)
    return torch.stack(moved, dim=1)
