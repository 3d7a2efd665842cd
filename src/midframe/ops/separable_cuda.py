"""Separable adaptive convolution on CUDA, as Triton kernels.

A program serves a block of pixels in one row and holds tiles of (taps along the row, pixels) in registers: the rows'
kernels once, and for each tap of the columns what it sees of the frame. Neighbouring pixels see nearly the same, so the
frame comes out of the nearest cache. Nothing of the size of taps squared is ever written. Triton's interpreter runs the
same kernels on the CPU, which is how they are tested without a GPU.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 32
"""Pixels that a program serves, a power of two."""


def serves(frame: Tensor, kernel: Tensor) -> bool:
    """Whether these kernels take such tensors."""
    types = (torch.float32, torch.float16, torch.bfloat16)
    return frame.is_cuda and frame.dtype in types and kernel.dtype in types


def separable_forward(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a padded frame; shapes as in `midframe.ops.separable_convolution`."""
    result = frame.new_empty(*frame.shape[:2], *vertical.shape[2:])
    horizontal = _like(horizontal, vertical)
    _forward[_grid(vertical)](frame, vertical, horizontal, result, **_layout(frame, vertical, result))
    return result


def separable_kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of the columns and the rows, in their shape and type."""
    tall = torch.empty_like(vertical)
    horizontal, wide = (_like(each, vertical) for each in (horizontal, torch.empty_like(tall)))
    gradient = gradient.contiguous()
    arguments = (gradient, frame, vertical, horizontal, tall, wide)
    _kernel_gradients[_grid(vertical)](*arguments, **_layout(frame, vertical, gradient))
    return tall, wide


def separable_frame_gradient(gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """The gradient of the padded frame, in its shape and type. Gathered, so that it is the same in every run."""
    result = torch.empty_like(frame)
    gradient, horizontal = gradient.contiguous(), _like(horizontal, vertical)
    arguments = (gradient, vertical, horizontal, result)
    _frame_gradient[_grid(frame)](*arguments, **_layout(result, vertical, gradient))
    return result


def _like(tensor: Tensor, other: Tensor) -> Tensor:
    """A tensor laid out in memory as another of its shape: kernels are told the strides of one."""
    return tensor if tensor.stride() == other.stride() else torch.empty_like(other).copy_(tensor)


def _grid(images: Tensor) -> tuple[int, int]:
    return images.shape[0] * images.shape[2], triton.cdiv(images.shape[3], BLOCK)


def _layout(frame: Tensor, kernel: Tensor, image: Tensor) -> dict[str, Any]:
    """What all programs are told of sizes and of places in memory: of frames (f), kernels (k) and images (o)."""
    strides = {
        f"{letter}{axis}": step
        for letter, tensor in (("f", frame), ("k", kernel), ("o", image))
        for axis, step in zip(("n", "c", "y", "x"), tensor.stride(), strict=True)
    }
    taps = kernel.shape[1]
    fixed = {"channels": frame.shape[1], "taps": taps, "room": triton.next_power_of_2(taps), "block": BLOCK}
    return {"height": kernel.shape[2], "width": kernel.shape[3], **strides, **fixed}


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    frame, vertical, horizontal, result, height, width, fn, fc, fy, fx, kn, kc, ky, kx, on, oc, oy, ox,
    channels: tl.constexpr, taps: tl.constexpr, room: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y = (tl.program_id(0) // height).to(tl.int64), tl.program_id(0) % height
    x, tap = tl.program_id(1) * block + tl.arange(0, block), tl.arange(0, room)
    real = (tap[:, None] < taps) & (x[None, :] < width)
    at = n * kn + y * ky + x * kx
    across = tl.load(horizontal + at[None, :] + tap[:, None] * kc, real, 0.0).to(tl.float32)  # (taps, pixels)
    for channel in range(channels):
        total = tl.zeros((block,), tl.float32)
        corner = n * fn + channel * fc + y * fy + (tap[:, None] + x[None, :]) * fx
        for i in range(taps):
            down = tl.load(vertical + at + i * kc, x < width, 0.0).to(tl.float32)
            seen = tl.load(frame + corner + i * fy, real, 0.0).to(tl.float32)
            total += down * tl.sum(across * seen, axis=0)
        tl.store(result + n * on + channel * oc + y * oy + x * ox, total, x < width)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel_gradients(  # type: ignore[no-untyped-def]
    gradient, frame, vertical, horizontal, tall, wide, height, width,
    fn, fc, fy, fx, kn, kc, ky, kx, on, oc, oy, ox,
    channels: tl.constexpr, taps: tl.constexpr, room: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y = (tl.program_id(0) // height).to(tl.int64), tl.program_id(0) % height
    x, tap = tl.program_id(1) * block + tl.arange(0, block), tl.arange(0, room)
    real = (tap[:, None] < taps) & (x[None, :] < width)
    at = n * kn + y * ky + x * kx
    across = tl.load(horizontal + at[None, :] + tap[:, None] * kc, real, 0.0).to(tl.float32)
    of_across = tl.zeros((room, block), tl.float32)
    for i in range(taps):
        weighted = tl.zeros((room, block), tl.float32)  # what the tap's row sees, weighted by how it is wanted
        for channel in range(channels):
            outer = tl.load(gradient + n * on + channel * oc + y * oy + x * ox, x < width, 0.0).to(tl.float32)
            corner = n * fn + channel * fc + (y + i) * fy + (tap[:, None] + x[None, :]) * fx
            weighted += outer[None, :] * tl.load(frame + corner, real, 0.0).to(tl.float32)
        down = tl.load(vertical + at + i * kc, x < width, 0.0).to(tl.float32)
        tl.store(tall + at + i * kc, tl.sum(across * weighted, axis=0), x < width)
        of_across += down[None, :] * weighted
    tl.store(wide + at[None, :] + tap[:, None] * kc, of_across, real)


@triton.jit  # type: ignore[untyped-decorator]
def _frame_gradient(  # type: ignore[no-untyped-def]
    gradient, vertical, horizontal, result, height, width, fn, fc, fy, fx, kn, kc, ky, kx, on, oc, oy, ox,
    channels: tl.constexpr, taps: tl.constexpr, room: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    rows = height + taps - 1
    n, row = (tl.program_id(0) // rows).to(tl.int64), tl.program_id(0) % rows
    column, tap = tl.program_id(1) * block + tl.arange(0, block), tl.arange(0, room)
    x = column[None, :] - tap[:, None]  # the pixels whose taps see these columns, (taps, columns)
    for channel in range(channels):
        total = tl.zeros((block,), tl.float32)
        for i in range(taps):
            y = row - i + 0 * x
            real = (tap[:, None] < taps) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            at = n * kn + y * ky + x * kx
            down = tl.load(vertical + at + i * kc, real, 0.0).to(tl.float32)
            across = tl.load(horizontal + at + tap[:, None] * kc, real, 0.0).to(tl.float32)
            outer = tl.load(gradient + n * on + channel * oc + y * oy + x * ox, real, 0.0).to(tl.float32)
            total += tl.sum(down * across * outer, axis=0)
        place = n * fn + channel * fc + row * fy + column * fx
        tl.store(result + place, total, column < width + taps - 1)
