"""The operators in plain PyTorch: any device, any floating type.

Slow, simple, and what the fast ones are tested against. Taps are summed one at a time into one accumulator, so memory
stays at a few frames (no im2col).
"""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.resampling import shift_kernel, shift_kernel_gradients, taps_before


def separable_forward(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a padded frame; shapes as in `midframe.ops.separable_convolution`, result in the frame's type."""
    taps, height, width = vertical.shape[1:]
    padded, vertical, horizontal = _accumulable(frame, vertical, horizontal)
    result = padded.new_zeros(*frame.shape[:2], height, width)  # (N, C, H, W)
    for i in range(taps):
        row = torch.zeros_like(result)
        for j in range(taps):
            row.addcmul_(horizontal[:, j : j + 1], padded[:, :, i : i + height, j : j + width])
        result.addcmul_(vertical[:, i : i + 1], row)
    return result.to(frame.dtype)


def separable_kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of the vertical and the horizontal kernels, both (N, K, H, W), in the kernels' types."""
    taps, height, width = vertical.shape[1:]
    weight, padded, tall, wide = _accumulable(gradient, frame, vertical, horizontal)
    tall_gradient, wide_gradient = torch.zeros_like(tall), torch.zeros_like(wide)
    for i in range(taps):
        for j in range(taps):
            product = (weight * padded[:, :, i : i + height, j : j + width]).sum(1)  # (N, H, W)
            tall_gradient[:, i].addcmul_(wide[:, j], product)
            wide_gradient[:, j].addcmul_(tall[:, i], product)
    return tall_gradient.to(vertical.dtype), wide_gradient.to(horizontal.dtype)


def separable_frame_gradient(gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """The gradient of the padded frame, (N, C, H+K-1, W+K-1), in the frame's type."""
    taps, height, width = vertical.shape[1:]
    weight, padded, vertical, horizontal = _accumulable(gradient, frame, vertical, horizontal)
    result = torch.zeros_like(padded)
    for i in range(taps):
        row = weight * vertical[:, i : i + 1]  # (N, C, H, W)
        for j in range(taps):
            result[:, :, i : i + height, j : j + width].addcmul_(row, horizontal[:, j : j + 1])
    return result.to(frame.dtype)


def flow_separable_forward(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """Fetch along a flow and filter; shapes as in `midframe.ops.flow_separable_convolution`."""
    padded, tall, wide = _accumulable(frame, vertical, horizontal)
    places = _Places(frame, flow.to(tall.dtype), vertical.shape[1], resampling)
    down, across = places.shift(tall, wide)  # (N, K + 1 or K + 3, H, W)
    result = padded.new_zeros(*frame.shape[:2], *flow.shape[2:])
    for i, j in product(range(down.shape[1]), repeat=2):
        result.addcmul_(places.seen(padded, i, j), (down[:, i] * across[:, j])[:, None])
    return result.to(frame.dtype)


def flow_separable_gradients(
    gradient: Tensor, frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the flow, (N, 2, H, W), and of both kernels, (N, K, H, W), in their types."""
    weight, padded, tall, wide = _accumulable(gradient, frame, vertical, horizontal)
    places = _Places(frame, flow.to(tall.dtype), vertical.shape[1], resampling)
    down, across = places.shift(tall, wide)
    of_down, of_across = torch.zeros_like(down), torch.zeros_like(across)
    for i, j in product(range(down.shape[1]), repeat=2):
        value = (places.seen(padded, i, j) * weight).sum(1)  # (N, H, W)
        of_down[:, i].addcmul_(value, across[:, j])
        of_across[:, j].addcmul_(value, down[:, i])
    of_y, of_tall = shift_kernel_gradients(of_down, tall, places.down, resampling)
    of_x, of_wide = shift_kernel_gradients(of_across, wide, places.right, resampling)
    of_flow = torch.stack((of_x, of_y), dim=1)
    return of_flow.to(flow.dtype), of_tall.to(vertical.dtype), of_wide.to(horizontal.dtype)


def flow_separable_frame_gradient(
    gradient: Tensor, frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """The gradient of the frame, in its shape and type."""
    weight, padded, tall, wide = _accumulable(gradient, frame, vertical, horizontal)
    places = _Places(frame, flow.to(tall.dtype), vertical.shape[1], resampling)
    down, across = places.shift(tall, wide)
    result = torch.zeros_like(padded)
    for i, j in product(range(down.shape[1]), repeat=2):
        places.add(result, i, j, weight * (down[:, i] * across[:, j])[:, None])
    return result.to(frame.dtype)


def flow_separable_by_sampling(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """The same as `flow_separable_forward` by what other programs have: one sampling of the frame for all taps.

    The cubic sampling of PyTorch and ONNX has another coefficient (a = -3/4), so cubic kernels are shifted instead and
    the frame is sampled at whole pixels.
    """
    height, width = flow.shape[2:]
    x = flow[:, 0] + torch.arange(width, device=flow.device)  # (N, H, W)
    y = flow[:, 1] + torch.arange(height, device=flow.device)[:, None]
    before, mode = vertical.shape[1] // 2, "bilinear"
    if resampling == "cubic":
        left, top = x.floor(), y.floor()
        vertical, horizontal = (
            shift_kernel(kernel.to(part.dtype), part, resampling)
            for kernel, part in ((vertical, y - top), (horizontal, x - left))
        )
        x, y, before, mode = left, top, before + taps_before(resampling), "nearest"
    count, taps = vertical.shape[:2]
    offsets = torch.arange(taps, device=flow.device) - before
    across = (2 * (x[:, None] + offsets[:, None, None]) + 1) / frame.shape[3] - 1  # (N, K, H, W)
    down = (2 * (y[:, None] + offsets[:, None, None]) + 1) / frame.shape[2] - 1
    grid = torch.stack(
        (across[:, None].expand(-1, taps, -1, -1, -1), down[:, :, None].expand(-1, -1, taps, -1, -1)), -1
    ).reshape(count, -1, width, 2)
    seen = functional.grid_sample(frame, grid, mode=mode, padding_mode="border", align_corners=False)
    weights = (vertical[:, :, None] * horizontal[:, None]).reshape(count, 1, -1, height, width)
    return (seen.reshape(count, frame.shape[1], -1, height, width) * weights).sum(2)


class _Places:
    """Where taps see a frame: at whole pixels, the nearest ones where they lead outside."""

    def __init__(self, frame: Tensor, flow: Tensor, taps: int, resampling: str) -> None:
        height, width = flow.shape[2:]
        x = flow[:, 0] + torch.arange(width, device=flow.device)
        y = flow[:, 1] + torch.arange(height, device=flow.device)[:, None]
        self.left, self.top = (each.floor() for each in (x, y))
        self.right, self.down = x - self.left, y - self.top  # how far beyond whole pixels, (N, H, W) in [0, 1)
        self.reach, self.resampling = taps // 2 + taps_before(resampling), resampling
        self.rows, self.columns = frame.shape[2:]

    def shift(self, vertical: Tensor, horizontal: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels whose taps lie on whole pixels, (N, K + 1 or K + 3, H, W)."""
        down = shift_kernel(vertical, self.down, self.resampling)
        return down, shift_kernel(horizontal, self.right, self.resampling)

    def _index(self, i: int, j: int) -> Tensor:
        y = (self.top + (i - self.reach)).clamp(0, self.rows - 1).long()
        x = (self.left + (j - self.reach)).clamp(0, self.columns - 1).long()
        return (y * self.columns + x).flatten(1)[:, None]  # (N, 1, HW)

    def seen(self, frame: Tensor, i: int, j: int) -> Tensor:
        """What row i and column j of the taps see, (N, C, H, W)."""
        index = self._index(i, j).expand(-1, frame.shape[1], -1)
        return frame.flatten(2).gather(2, index).view(len(frame), frame.shape[1], *self.top.shape[1:])

    def add(self, frame: Tensor, i: int, j: int, values: Tensor) -> None:
        """The opposite: add values (N, C, H, W) where they are seen."""
        index = self._index(i, j).expand(-1, frame.shape[1], -1)
        frame.view(*frame.shape[:2], -1).scatter_add_(2, index, values.flatten(2))


def correlation_forward(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """See `midframe.ops.local_correlation`."""
    like = [(first * moved).sum(1) for moved in _displaced(second, radius)]
    return torch.stack(like, dim=1)


def correlation_gradients(gradient: Tensor, first: Tensor, second: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """The gradients of both, in their shape."""
    of_first, of_padded = torch.zeros_like(first), functional.pad(torch.zeros_like(second), [radius] * 4)
    height, width = first.shape[2:]
    for place, moved in enumerate(_displaced(second, radius)):
        wanted = gradient[:, place, None]
        of_first.addcmul_(wanted, moved)
        y, x = divmod(place, 2 * radius + 1)
        of_padded[..., y : y + height, x : x + width].addcmul_(wanted, first)
    return of_first, of_padded[..., radius : radius + height, radius : radius + width].contiguous()


def _displaced(features: Tensor, radius: int) -> Iterator[Tensor]:
    """Features at every displacement up to a radius, with zeros outside, views of (N, C, H, W)."""
    height, width = features.shape[2:]
    padded = functional.pad(features, [radius] * 4)
    for y, x in product(range(2 * radius + 1), repeat=2):
        yield padded[..., y : y + height, x : x + width]


def _accumulable(*tensors: Tensor) -> list[Tensor]:
    """Bring tensors to one type in which many products can be summed: float64 if any is, otherwise float32."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if double else torch.float32) for tensor in tensors]


def adaptive_forward(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Filter padded frames; shapes as in `midframe.ops.adaptive_convolution`, result in the frames' type."""
    padded, kernels = _accumulable(frames, kernels)
    count, several, taps, _, height, width = kernels.shape
    result = padded.new_zeros(count, frames.shape[2], height, width)
    for f, i, j in product(range(several), range(taps), range(taps)):
        result.addcmul_(kernels[:, f, i, j, None], _seen(padded, f, i, j, kernels, stride))
    return result.to(frames.dtype)


def adaptive_kernel_gradient(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """The gradient of the kernels, (N, F, K, K, H, W), in their type, taps innermost in memory."""
    weight, padded = _accumulable(gradient, frames)
    result = empty_taps_innermost(kernels).to(weight.dtype)
    for f, i, j in product(range(kernels.shape[1]), range(kernels.shape[2]), range(kernels.shape[3])):
        result[:, f, i, j] = (weight * _seen(padded, f, i, j, kernels, stride)).sum(1)
    return result.to(kernels.dtype)


def adaptive_frame_gradient(gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """The gradient of the padded frames, in their shape and type."""
    weight, wide = _accumulable(gradient, kernels)
    result = torch.zeros(frames.shape, dtype=weight.dtype, device=weight.device)
    for f, i, j in product(range(kernels.shape[1]), range(kernels.shape[2]), range(kernels.shape[3])):
        _seen(result, f, i, j, kernels, stride).addcmul_(weight, wide[:, f, i, j, None])
    return result.to(frames.dtype)


def _seen(frames: Tensor, f: int, i: int, j: int, kernels: Tensor, stride: int) -> Tensor:
    """What tap (i, j) of every kernel sees of frame f, (N, C, H, W), a view."""
    height, width = kernels.shape[4:]
    return frames[:, f, :, i::stride, j::stride][..., :height, :width]


def taps_innermost(kernels: Tensor) -> Tensor:
    """Kernels (N, F, K, K, H, W) seen as (N, H, W, F, K, K)."""
    return kernels.permute(0, 4, 5, 1, 2, 3)


def empty_taps_innermost(kernels: Tensor) -> Tensor:
    """Room like kernels (N, F, K, K, H, W), in memory (N, H, W, F, K, K)."""
    count, several, taps, _, height, width = kernels.shape
    return kernels.new_empty(count, height, width, several, taps, taps).permute(0, 3, 4, 5, 1, 2)
