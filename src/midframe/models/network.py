"""The interface of all networks."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from midframe.models.winograd import use_winograd
from midframe.ops.accumulation import at_least_float32


class Network(nn.Module):
    """Interpolates between two frames (N, 3, H, W) in [0, 1], at once or in tiles.

    A subclass defines `forward`, which returns the whole frame, without clipping. `prepare` and
    `render_tile` return any rectangle of it; a subclass defines them too if its memory is not to
    grow with the frame. A fourth channel (alpha) is filtered with the kernels that are predicted
    from the colours.
    """

    config: Any = None
    """Dataclass that configures the network."""
    tile: int = 0
    """Default height and width of tiles in pixels; 0: no tiling."""
    max_plain_pixels = 0
    """Maximum number of pixels of all output frames of a single pair for which, on the CPU, the
    PyTorch implementations are faster than compiling and running the others."""
    any_time = False
    """Whether the network supports any t; otherwise only t = 1/2."""
    approximate_inference = False
    """Whether inference may use Winograd convolutions and, by default, bfloat16 or float16, which
    change frames by less than is visible."""
    scale: int = 1
    """Factor by which the network downscales frames; 0: chosen by their size, if supported."""

    @property
    def margin(self) -> int:
        """Return the pixels around a tile that are computed with it and discarded."""
        return 0

    def forward(self, first: Tensor, second: Tensor, t: Tensor | float = 0.5) -> Tensor:
        """Interpolate the frame at t, without clipping.

        Args:
            first, second: (N, 3, H, W) in [0, 1].
            t: a number or one time per sample, (N,); other times than 1/2 require `any_time`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward(first, second, t)")

    def prepare(self, first: Tensor, second: Tensor) -> Any:
        """Encode a pair of frames, once for all tiles and times."""
        return first, second

    def render_tile(
        self, prepared: Any, rows: slice, columns: slice, t: Tensor | float = 0.5
    ) -> Tensor:
        """Interpolate a rectangle of the frame at t, as in the whole frame, without clipping.

        Other times than 1/2 require `any_time`.
        """
        self.check_time(t)
        weights = next(self.parameters(), prepared[0])
        frames = [frame.to(weights.dtype) for frame in prepared]
        whole: Tensor = self(*frames, t) if self.any_time else self(*frames)
        return whole[..., rows, columns].to(prepared[0].dtype)

    def check_time(self, t: Tensor | float) -> None:
        """Raise a ValueError if the network does not support a time."""
        if not self.any_time and not torch.all(torch.as_tensor(t) == 0.5):
            name = type(self).__name__
            raise ValueError(f"t is {t}: {name} interpolates the middle alone, t = 0.5")

    def pairs_at_once(self, height: int, width: int) -> int:
        """Return how many pairs of such frames to process in parallel on a CPU, one thread each."""
        return 1

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """Predict the kernels of one pixel of the middle frame for both frames, (N, 2, K, K)."""
        raise NotImplementedError(f"{type(self).__name__} predicts no kernels")

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the motion from the first to the second frame implied by the kernels.

        Returns:
            (N, 2, h, w), x before y, in pixels.
        """
        raise NotImplementedError(f"{type(self).__name__} predicts no kernels")

    def for_inference(self, precision: torch.dtype = torch.float32) -> Network:
        """Return a copy for inference, with weights of one dtype, that cannot be trained."""
        ready = copy.deepcopy(self).eval().requires_grad_(False).to(precision)
        if self.approximate_inference and precision in (torch.float32, torch.bfloat16):
            use_winograd(ready)
        return ready


class Statistics(NamedTuple):
    """Joint mean and standard deviation of a pair of frames, each (N, 1, 1, 1)."""

    mean: Tensor
    deviation: Tensor


def pair_statistics(first: Tensor, second: Tensor) -> Statistics:
    """Compute the statistics of a pair of frames (N, C, H, W) for pair normalisation."""
    frames = at_least_float32(first), at_least_float32(second)
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
        weights = at_least_float32(weights).clamp(min=0)  # (N, 2, K, H, W)
        mass = weights.sum((1, 2)).clamp(min=1e-6)  # (N, H, W)
        components.append(torch.einsum("nfkhw,k,f->nhw", weights, taps, sign) / mass)
    return torch.stack(components, dim=1)
