"""The interface of all networks."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from midframe.models.winograd import use_winograd


class Network(nn.Module):
    """Interpolates the middle of two frames (N, 3, H, W) in [0, 1], at once or in tiles.

    `forward(first, second)` returns the whole frame, without clipping. `prepare` and `render_tile`
    return any rectangle of it, so that memory does not grow with the frame. A fourth channel
    (alpha) is filtered with the kernels that are predicted from the colours.
    """

    config: Any
    """Dataclass that configures the network."""
    tile: int
    """Default height and width of tiles in pixels; 0: no tiling."""
    max_plain_pixels = 0
    """Maximum number of pixels of all output frames of a single pair for which, on the CPU, the
    PyTorch implementations are faster than compiling and running the others."""
    any_time = False
    """Whether the network supports any t; otherwise only t = 1/2."""
    scale: int = 1
    """Factor by which the network downscales frames; 0: chosen by their size, if supported."""

    @property
    def margin(self) -> int:
        """Return the pixels around a tile that are computed with it and discarded."""
        return 0

    def prepare(self, first: Tensor, second: Tensor) -> Any:
        """Encode a pair of frames, once for all tiles and times."""
        raise NotImplementedError

    def render_tile(self, prepared: Any, rows: slice, columns: slice, t: float = 0.5) -> Tensor:
        """Interpolate a rectangle of the frame at t, as in the whole frame, without clipping.

        A `time` other than 1/2 requires `any_time`.
        """
        raise NotImplementedError

    def pairs_at_once(self, height: int, width: int) -> int:
        """Return how many pairs of such frames to process in parallel on a CPU, one thread each."""
        return 1

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """Predict the kernels of one pixel of the middle frame for both frames, (N, 2, K, K)."""
        raise NotImplementedError

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the motion from the first to the second frame implied by the kernels.

        Returns:
            (N, 2, h, w), x before y, in pixels.
        """
        raise NotImplementedError

    def for_inference(self, precision: torch.dtype = torch.float32) -> Network:
        """Return a copy for inference, with weights of one dtype, that cannot be trained."""
        ready = copy.deepcopy(self).eval().requires_grad_(False).to(precision)
        if precision in (torch.float32, torch.bfloat16):
            use_winograd(ready)
        return ready


class Statistics(NamedTuple):
    """Joint mean and standard deviation of a pair of frames, each (N, 1, 1, 1)."""

    mean: Tensor
    deviation: Tensor


def pair_statistics(first: Tensor, second: Tensor) -> Statistics:
    """Compute the statistics of a pair of frames (N, C, H, W) for pair normalisation."""
    frames = first.float(), second.float()
    mean = torch.stack([frame.mean((1, 2, 3), keepdim=True) for frame in frames]).mean(0)
    squares = [(frame - mean).square().mean((1, 2, 3), keepdim=True) for frame in frames]
    return Statistics(mean, torch.stack(squares).mean(0).sqrt().clamp(min=1e-3))


def tiles(height: int, width: int, size: int, margin: int = 0) -> list[tuple[slice, slice]]:
    """Split a frame into tiles (rows, columns) of at most `size`; a frame little larger is one."""
    if not size or max(height, width) <= size + 2 * margin:
        return [(slice(0, height), slice(0, width))]
    rows = [slice(start, min(start + size, height)) for start in range(0, height, size)]
    columns = [slice(start, min(start + size, width)) for start in range(0, width, size)]
    return list(product(rows, columns))


def motion_between(vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Return the motion from the first to the second frame by the kernels' centres of mass.

    For a pixel halfway between two frames, the displacements to both are opposite; they are
    averaged by the weight of the kernels, so a pixel visible in only one frame takes the motion of
    that one.

    Args:
        vertical, horizontal: the kernels summed along rows and along columns, (N, 2, K, H, W),
            first frame first.

    Returns:
        (N, 2, H, W), x before y, in pixels.
    """
    taps = torch.arange(vertical.shape[2], device=vertical.device).float() - vertical.shape[2] // 2
    sign = torch.tensor([-2.0, 2.0], device=vertical.device)
    components = []
    for weights in (horizontal, vertical):
        weights = weights.float().clamp(min=0)  # (N, 2, K, H, W)
        mass = weights.sum((1, 2)).clamp(min=1e-6)  # (N, H, W)
        components.append(torch.einsum("nfkhw,k,f->nhw", weights, taps, sign) / mass)
    return torch.stack(components, dim=1)
