"""Separable convolution along a flow in PyTorch: slow, simple, the reference for tests of the fast
implementations.

Taps are summed one at a time into one accumulator, so memory stays at a few frames (no im2col).
"""

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.accumulation import add_product, to_accumulation_type
from midframe.ops.resampling import shift_kernel, shift_kernel_gradients, taps_before


def flow_separable_forward(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """Filter along a flow; shapes as in `midframe.ops.flow_separable_convolution`."""
    dtype = frame.dtype
    frame, vertical, horizontal = to_accumulation_type(frame, vertical, horizontal)
    positions = _Positions(frame, flow.to(frame.dtype), vertical.shape[1], resampling)
    shifted_vertical, shifted_horizontal = positions.shift(vertical, horizontal)
    result = None
    for i, j in product(range(shifted_vertical.shape[1]), repeat=2):
        weight = shifted_vertical[:, i] * shifted_horizontal[:, j]  # (N, H, W)
        result = add_product(result, positions.sample(frame, i, j), weight[:, None])
    assert result is not None, "kernels have a tap at least"
    return result.to(dtype)


def flow_separable_gradients(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the flow, (N, 2, H, W), and of both kernels, (N, K, H, W), in their
    types."""
    kernel_type = vertical.dtype
    grad_output, frame, vertical, horizontal = to_accumulation_type(
        gradient, frame, vertical, horizontal
    )
    positions = _Positions(frame, flow.to(frame.dtype), vertical.shape[1], resampling)
    shifted_vertical, shifted_horizontal = positions.shift(vertical, horizontal)
    grad_shifted_vertical = torch.zeros_like(shifted_vertical)
    grad_shifted_horizontal = torch.zeros_like(shifted_horizontal)
    for i, j in product(range(shifted_vertical.shape[1]), repeat=2):
        value = (positions.sample(frame, i, j) * grad_output).sum(1)  # (N, H, W)
        grad_shifted_vertical[:, i].addcmul_(value, shifted_horizontal[:, j])
        grad_shifted_horizontal[:, j].addcmul_(value, shifted_vertical[:, i])
    grad_y, grad_vertical = shift_kernel_gradients(
        grad_shifted_vertical, vertical, positions.fraction_y, resampling
    )
    grad_x, grad_horizontal = shift_kernel_gradients(
        grad_shifted_horizontal, horizontal, positions.fraction_x, resampling
    )
    grad_flow = torch.stack((grad_x, grad_y), dim=1)
    return grad_flow.to(flow.dtype), grad_vertical.to(kernel_type), grad_horizontal.to(kernel_type)


def flow_separable_frame_gradient(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> Tensor:
    """Return the gradient of the frame, in its shape and type."""
    dtype = frame.dtype
    grad_output, frame, vertical, horizontal = to_accumulation_type(
        gradient, frame, vertical, horizontal
    )
    positions = _Positions(frame, flow.to(frame.dtype), vertical.shape[1], resampling)
    shifted_vertical, shifted_horizontal = positions.shift(vertical, horizontal)
    result = torch.zeros_like(frame)
    for i, j in product(range(shifted_vertical.shape[1]), repeat=2):
        weight = shifted_vertical[:, i] * shifted_horizontal[:, j]  # (N, H, W)
        positions.add(result, i, j, grad_output * weight[:, None])
    return result.to(dtype)


def flow_separable_by_sampling(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """Compute the same as `flow_separable_forward` with standard operators, for export: one
    sampling of the frame for all taps.

    The cubic sampling of PyTorch and ONNX has another coefficient (a = -3/4), so cubic kernels are
    shifted instead and the frame is sampled at whole pixels.
    """
    height, width = flow.shape[2:]
    x = flow[:, 0] + torch.arange(width, device=flow.device)  # (N, H, W)
    y = flow[:, 1] + torch.arange(height, device=flow.device)[:, None]
    before = vertical.shape[1] // 2
    mode = "bilinear"
    if resampling == "cubic":
        left, top = x.floor(), y.floor()
        vertical = shift_kernel(vertical.to(y.dtype), y - top, resampling)
        horizontal = shift_kernel(horizontal.to(x.dtype), x - left, resampling)
        x = left
        y = top
        before = before + taps_before(resampling)
        mode = "nearest"
    count, taps = vertical.shape[:2]
    offsets = torch.arange(taps, device=flow.device) - before
    across = (2 * (x[:, None] + offsets[:, None, None]) + 1) / frame.shape[3] - 1  # (N, K, H, W)
    down = (2 * (y[:, None] + offsets[:, None, None]) + 1) / frame.shape[2] - 1
    grid = torch.stack(
        (
            across[:, None].expand(-1, taps, -1, -1, -1),
            down[:, :, None].expand(-1, -1, taps, -1, -1),
        ),
        -1,
    ).reshape(count, -1, width, 2)
    sampled = functional.grid_sample(
        frame, grid, mode=mode, padding_mode="border", align_corners=False
    )
    weights = (vertical[:, :, None] * horizontal[:, None]).reshape(count, 1, -1, height, width)
    return (sampled.reshape(count, frame.shape[1], -1, height, width) * weights).sum(2)


class _Positions:
    """Positions of taps in a frame: whole pixels, outside the nearest ones inside. Where the flow
    is not finite the fractions are NaN."""

    def __init__(self, frame: Tensor, flow: Tensor, taps: int, resampling: str) -> None:
        height, width = flow.shape[2:]
        x = flow[:, 0] + torch.arange(width, device=flow.device)
        y = flow[:, 1] + torch.arange(height, device=flow.device)[:, None]
        self.fraction_x = x - x.floor()  # in [0, 1)
        self.fraction_y = y - y.floor()
        self.whole_x = x.floor().nan_to_num()  # (N, H, W); NaN must not address memory
        self.whole_y = y.floor().nan_to_num()
        self.before = taps // 2 + taps_before(resampling)
        self.resampling = resampling
        self.rows, self.columns = frame.shape[2:]

    def shift(self, vertical: Tensor, horizontal: Tensor) -> tuple[Tensor, Tensor]:
        """Return kernels whose taps are on whole pixels, (N, K + 1 or K + 3, H, W)."""
        return (
            shift_kernel(vertical, self.fraction_y, self.resampling),
            shift_kernel(horizontal, self.fraction_x, self.resampling),
        )

    def _index(self, i: int, j: int) -> Tensor:
        y = (self.whole_y + (i - self.before)).clamp(0, self.rows - 1).long()
        x = (self.whole_x + (j - self.before)).clamp(0, self.columns - 1).long()
        return (y * self.columns + x).flatten(1)[:, None]  # (N, 1, HW)

    def sample(self, frame: Tensor, i: int, j: int) -> Tensor:
        """Return the pixels under row i and column j of the taps, (N, C, H, W)."""
        index = self._index(i, j).expand(-1, frame.shape[1], -1)
        sampled = frame.flatten(2).gather(2, index)
        return sampled.view(len(frame), frame.shape[1], *self.whole_y.shape[1:])

    def add(self, frame: Tensor, i: int, j: int, values: Tensor) -> None:
        """Add values (N, C, H, W) to the pixels under the taps: the adjoint of `sample`."""
        index = self._index(i, j).expand(-1, frame.shape[1], -1)
        frame.view(*frame.shape[:2], -1).scatter_add_(2, index, values.flatten(2))
