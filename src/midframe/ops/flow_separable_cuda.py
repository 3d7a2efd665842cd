"""Separable convolution along a flow on CUDA, as Triton kernels.

A program serves a block of pixels in one row, all colours at once. A flow that leads between pixels moves the kernels
on by part of a pixel, which makes them one tap longer; so each tap sees one whole pixel. Triton's interpreter runs the
same kernels on the CPU, which is how they are tested without a GPU.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.ops.reference import split_between

BLOCK = 64
"""Pixels that a program serves, a power of two."""
MAX_CHANNELS = 32
"""Colours that a program holds sums for; a frame of more is left to plain PyTorch."""


def serves(frame: Tensor, kernel: Tensor) -> bool:
    """Whether these kernels take such tensors."""
    types = (torch.float32, torch.float16, torch.bfloat16)
    return frame.is_cuda and frame.dtype in types and kernel.dtype in types and frame.shape[1] <= MAX_CHANNELS


def flow_separable_forward(frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Fetch along a flow and filter; shapes as in `midframe.ops.flow_separable_convolution`."""
    result = frame.new_empty(*frame.shape[:2], *flow.shape[2:])
    inputs = [each.contiguous() for each in (frame, flow, vertical, horizontal)]
    _forward[_grid(flow)](*inputs, result, **_sizes(frame, vertical))
    return result


def flow_separable_gradients(
    gradient: Tensor, frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the flow, (N, 2, H, W), and of both kernels, (N, K, H, W), in their types."""
    count, taps, height, width = vertical.shape
    down, across = (flow.new_empty(count, taps + 1, height, width, dtype=torch.float32) for _ in range(2))
    inputs = [each.contiguous() for each in (gradient, frame, flow, vertical, horizontal)]
    _longer_gradients[_grid(flow)](*inputs, down, across, **_sizes(frame, vertical))
    rows, columns = torch.arange(height, device=flow.device)[:, None], torch.arange(width, device=flow.device)
    parts = ((flow[:, 1] + rows) % 1, (flow[:, 0] + columns) % 1)
    (of_y, tall), (of_x, wide) = (
        split_between(longer, kernel.float(), part)
        for longer, kernel, part in zip((down, across), (vertical, horizontal), parts, strict=True)
    )
    return torch.stack((of_x, of_y), dim=1).to(flow.dtype), tall.to(vertical.dtype), wide.to(horizontal.dtype)


def flow_separable_frame_gradient(
    gradient: Tensor, frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    """The gradient of the frame, in its shape and type. The order of its sums varies from run to run."""
    result = torch.zeros(frame.shape, dtype=torch.float32, device=frame.device)
    inputs = [each.contiguous() for each in (gradient, flow, vertical, horizontal)]
    _frame_gradient[_grid(flow)](*inputs, result, **_sizes(frame, vertical))
    return result.to(frame.dtype)


def _grid(flow: Tensor) -> tuple[int, int]:
    return flow.shape[0] * flow.shape[2], triton.cdiv(flow.shape[3], BLOCK)


def _sizes(frame: Tensor, kernel: Tensor) -> dict[str, Any]:
    channels, rows, columns = frame.shape[1:]
    sizes = {"height": kernel.shape[2], "width": kernel.shape[3], "rows": rows, "columns": columns}
    fixed = {"taps": kernel.shape[1], "room": triton.next_power_of_2(channels), "block": BLOCK}
    return {**sizes, "channels": channels, **fixed}


@triton.jit  # type: ignore[untyped-decorator]
def _pixels(flow, height, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """The program's sample and pixels, where in an image they lie, and where the flow leads them."""
    n, y = (tl.program_id(0) // height).to(tl.int64), tl.program_id(0) % height
    x = tl.program_id(1) * block + tl.arange(0, block)
    place = y * width + x
    at = n * 2 * height * width + place
    right = x + tl.load(flow + at, x < width, 0.0).to(tl.float32)
    down = y + tl.load(flow + at + height * width, x < width, 0.0).to(tl.float32)
    return n, x, place, right, down


@triton.jit  # type: ignore[untyped-decorator]
def _tap(kernel, k, place, area, inside, part, taps: tl.constexpr):  # type: ignore[no-untyped-def]
    """Tap k of the longer kernels."""
    here = tl.load(kernel + place + k * area, inside & (k + 0 * place < taps), 0.0).to(tl.float32)
    before = tl.load(kernel + place + (k - 1) * area, inside & (k + 0 * place > 0), 0.0).to(tl.float32)
    return here * (1 - part) + before * part


@triton.jit  # type: ignore[untyped-decorator]
def _seen(right, down, i, j, rows, columns, taps: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where in a frame's memory row i and column j of the longer kernels see it."""
    y = tl.minimum(tl.maximum(tl.floor(down) + (i - taps // 2), 0.0), rows - 1.0).to(tl.int32)
    x = tl.minimum(tl.maximum(tl.floor(right) + (j - taps // 2), 0.0), columns - 1.0).to(tl.int32)
    return y * columns + x


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    frame, flow, vertical, horizontal, result, height, width, rows, columns, channels,
    taps: tl.constexpr, room: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, x, place, right, down = _pixels(flow, height, width, block)
    channel, area = tl.arange(0, room)[:, None], height * width
    inside, real = x < width, (channel < channels) & (x < width)[None, :]
    kernel = n * taps * area + place
    total = tl.zeros((room, block), tl.float32)
    for i in range(taps + 1):
        line = tl.zeros((room, block), tl.float32)
        for j in range(taps + 1):
            across = _tap(horizontal, j, kernel, area, inside, right - tl.floor(right), taps)
            at = _seen(right, down, i, j, rows, columns, taps)[None, :] + (n * channels + channel) * rows * columns
            line += across[None, :] * tl.load(frame + at, real, 0.0).to(tl.float32)
        total += _tap(vertical, i, kernel, area, inside, down - tl.floor(down), taps)[None, :] * line
    tl.store(result + (n * channels + channel) * area + place[None, :], total, real)


@triton.jit  # type: ignore[untyped-decorator]
def _longer_gradients(  # type: ignore[no-untyped-def]
    gradient, frame, flow, vertical, horizontal, of_down, of_across, height, width, rows, columns, channels,
    taps: tl.constexpr, room: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, x, place, right, down = _pixels(flow, height, width, block)
    channel, area = tl.arange(0, room)[:, None], height * width
    inside, real = x < width, (channel < channels) & (x < width)[None, :]
    kernel, longer = n * taps * area + place, n * (taps + 1) * area + place
    outer = tl.load(gradient + (n * channels + channel) * area + place[None, :], real, 0.0).to(tl.float32)
    corner = (n * channels + channel) * rows * columns
    for i in range(taps + 1):
        row = tl.zeros((block,), tl.float32)
        column = tl.zeros((block,), tl.float32)
        for j in range(taps + 1):
            at = _seen(right, down, i, j, rows, columns, taps)[None, :] + corner
            value = tl.sum(outer * tl.load(frame + at, real, 0.0).to(tl.float32), axis=0)
            row += value * _tap(horizontal, j, kernel, area, inside, right - tl.floor(right), taps)
            at = _seen(right, down, j, i, rows, columns, taps)[None, :] + corner
            value = tl.sum(outer * tl.load(frame + at, real, 0.0).to(tl.float32), axis=0)
            column += value * _tap(vertical, j, kernel, area, inside, down - tl.floor(down), taps)
        tl.store(of_down + longer + i * area, row, inside)
        tl.store(of_across + longer + i * area, column, inside)


@triton.jit  # type: ignore[untyped-decorator]
def _frame_gradient(  # type: ignore[no-untyped-def]
    gradient, flow, vertical, horizontal, result, height, width, rows, columns, channels,
    taps: tl.constexpr, room: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, x, place, right, down = _pixels(flow, height, width, block)
    channel, area = tl.arange(0, room)[:, None], height * width
    inside, real = x < width, (channel < channels) & (x < width)[None, :]
    kernel = n * taps * area + place
    outer = tl.load(gradient + (n * channels + channel) * area + place[None, :], real, 0.0).to(tl.float32)
    for i in range(taps + 1):
        weighted = outer * _tap(vertical, i, kernel, area, inside, down - tl.floor(down), taps)[None, :]
        for j in range(taps + 1):
            across = _tap(horizontal, j, kernel, area, inside, right - tl.floor(right), taps)
            at = _seen(right, down, i, j, rows, columns, taps)[None, :] + (n * channels + channel) * rows * columns
            tl.atomic_add(result + at, weighted * across[None, :], real)
