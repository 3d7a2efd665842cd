"""Separable adaptive convolution on CUDA, as Triton kernels.

A program computes a block of pixels in one row. Their horizontal kernels, each one pixel further to
the right than the one before, are the columns of a band matrix; the rows of the frame under the
block are multiplied by that matrix, and the products are weighted by the vertical kernels. So
nearly all of the work is products of small matrices on tensor cores, although half of the elements
are outside the band. Gradients of the kernels are such products too. No intermediate result has a
size of taps squared. Triton's interpreter runs the same kernels on the CPU for tests without a GPU.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.ops import triton_tools
from midframe.ops.triton_tools import MIN_DOT, TYPES, product_precision

BLOCK = 32
"""Pixels per program, a power of two; products use as many columns of the frame at a time."""


def supports(frame: Tensor, kernel: Tensor) -> bool:
    """Return whether these kernels support such tensors."""
    return triton_tools.supports(frame) and kernel.dtype in TYPES


def separable_forward(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a padded frame; shapes as in `midframe.ops.separable_convolution`."""
    result = frame.new_empty(*frame.shape[:2], *vertical.shape[2:])
    vertical = _dense(vertical)
    horizontal = _with_layout_of(horizontal, vertical)
    arguments = (frame, vertical, horizontal, result)
    _forward[_grid(vertical)](
        *arguments, **_layout(frame, vertical, result), precision=product_precision()
    )
    return result


def separable_kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the columns and the rows, in their shape and type."""
    vertical = _dense(vertical)
    tall = torch.empty_like(vertical)
    horizontal = _with_layout_of(horizontal, vertical)
    wide = _with_layout_of(torch.empty_like(tall), vertical)
    gradient = gradient.contiguous()
    arguments = (gradient, frame, vertical, horizontal, tall, wide)
    _kernel_gradients[_grid(vertical)](
        *arguments, **_layout(frame, vertical, gradient), precision=product_precision()
    )
    return tall, wide


def separable_frame_gradient(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    """Return the gradient of the padded frame, in its shape and type. Gathered, so that it is
    reproducible."""
    result = torch.empty_like(frame)
    vertical = _dense(vertical)
    gradient = gradient.contiguous()
    horizontal = _with_layout_of(horizontal, vertical)
    arguments = (gradient, vertical, horizontal, result)
    _frame_gradient[_grid(frame)](*arguments, **_layout(result, vertical, gradient))
    return result


def _dense(tensor: Tensor) -> Tensor:
    """Return a tensor without gaps in memory, in its own order of dimensions."""
    return _with_layout_of(tensor, torch.empty_like(tensor, device="meta"))


def _with_layout_of(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a tensor in the memory layout of another of its shape, so that kernels need the
    strides of one only."""
    if tensor.stride() == other.stride():
        return tensor
    return torch.empty_strided(
        other.shape, other.stride(), dtype=tensor.dtype, device=tensor.device
    ).copy_(tensor)


def _grid(images: Tensor) -> tuple[int, int]:
    return images.shape[0] * images.shape[2], triton.cdiv(images.shape[3], BLOCK)


def _layout(frame: Tensor, kernel: Tensor, image: Tensor) -> dict[str, Any]:
    """Return the sizes and strides that all kernels need: of frames (f), kernels (k) and images
    (o)."""
    strides = {
        f"{letter}{axis}": step
        for letter, tensor in (("f", frame), ("k", kernel), ("o", image))
        for axis, step in zip(("n", "c", "y", "x"), tensor.stride(), strict=True)
    }
    taps = kernel.shape[1]
    tap_block = max(MIN_DOT, triton.next_power_of_2(taps))
    fixed = {"channels": frame.shape[1], "taps": taps, "tap_block": tap_block, "block": BLOCK}
    return {"height": kernel.shape[2], "width": kernel.shape[3], **strides, **fixed}


@triton.jit
def _band(horizontal, at, kc, column, x, width, taps):  # type: ignore[no-untyped-def]
    """Return the pixels' horizontal kernels as columns of a band matrix: each element's tap,
    whether it is one, and its value."""
    j = column[:, None] - x[None, :]
    inside = (j >= 0) & (j < taps) & (x[None, :] < width)
    return (
        j,
        inside,
        tl.load(horizontal + at[None, :] + j * kc, inside, 0.0).to(tl.float32),
    )  # (columns, pixels)


@triton.jit
def _rows_under_taps(frame, at, fy, fx, y, tap, column, width, taps):  # type: ignore[no-untyped-def]
    """Return the rows of a frame under the vertical kernels of a pixel row, (taps, columns)."""
    there = (tap[:, None] < taps) & (column[None, :] < width + taps - 1)
    place = at + (y + tap[:, None]) * fy + column[None, :] * fx
    return tl.load(frame + place, there, 0.0).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    frame, vertical, horizontal, result, height, width, fn, fc, fy, fx, kn, kc, ky, kx, on, oc, oy,
    ox,
    channels: tl.constexpr, taps: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    n = (tl.program_id(0) // height).to(tl.int64)
    y = tl.program_id(0) % height
    left = tl.program_id(1) * block
    tap = tl.arange(0, tap_block)
    step = tl.arange(0, block)
    x = left + step
    at = n * kn + y * ky + x * kx
    valid = (tap[:, None] < taps) & (x[None, :] < width)
    down = tl.load(vertical + at[None, :] + tap[:, None] * kc, valid, 0.0).to(
        tl.float32
    )  # (taps, pixels)
    for channel in range(channels):
        sampled = tl.zeros(
            (tap_block, block), tl.float32
        )  # by the tap's row of each pixel's kernel
        for start in range(0, taps + block - 1, block):
            column = left + start + step
            _, _, band = _band(horizontal, at, kc, column, x, width, taps)
            part = _rows_under_taps(
                frame, n * fn + channel * fc, fy, fx, y, tap, column, width, taps
            )
            sampled = tl.dot(part, band, sampled, input_precision=precision)
        tl.store(
            result + n * on + channel * oc + y * oy + x * ox,
            tl.sum(down * sampled, axis=0),
            x < width,
        )


@triton.jit  # type: ignore[untyped-decorator]
def _kernel_gradients(  # type: ignore[no-untyped-def]
    gradient, frame, vertical, horizontal, tall, wide, height, width,
    fn, fc, fy, fx, kn, kc, ky, kx, on, oc, oy, ox,
    channels: tl.constexpr, taps: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    n = (tl.program_id(0) // height).to(tl.int64)
    y = tl.program_id(0) % height
    left = tl.program_id(1) * block
    tap = tl.arange(0, tap_block)
    step = tl.arange(0, block)
    x = left + step
    at = n * kn + y * ky + x * kx
    valid = (tap[:, None] < taps) & (x[None, :] < width)
    down = tl.load(vertical + at[None, :] + tap[:, None] * kc, valid, 0.0).to(
        tl.float32
    )  # (taps, pixels)
    grad_down = tl.zeros((tap_block, block), tl.float32)
    for start in range(0, taps + block - 1, block):
        column = left + start + step
        j, inside, band = _band(horizontal, at, kc, column, x, width, taps)
        grad_band = tl.zeros((block, block), tl.float32)
        for channel in range(channels):
            grad_output = tl.load(
                gradient + n * on + channel * oc + y * oy + x * ox, x < width, 0.0
            ).to(tl.float32)
            part = _rows_under_taps(
                frame, n * fn + channel * fc, fy, fx, y, tap, column, width, taps
            )
            grad_down = tl.dot(
                part, band * grad_output[None, :], grad_down, input_precision=precision
            )
            grad_band = tl.dot(
                tl.trans(part), down * grad_output[None, :], grad_band, input_precision=precision
            )
        tl.store(
            wide + at[None, :] + j * kc, grad_band, inside
        )  # each tap lies in one of the bands
    tl.store(tall + at[None, :] + tap[:, None] * kc, grad_down, valid)


@triton.jit  # type: ignore[untyped-decorator]
def _frame_gradient(  # type: ignore[no-untyped-def]
    gradient, vertical, horizontal, result, height, width, fn, fc, fy, fx, kn, kc, ky, kx, on, oc,
    oy, ox,
    channels: tl.constexpr, taps: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    rows = height + taps - 1
    n = (tl.program_id(0) // rows).to(tl.int64)
    row = tl.program_id(0) % rows
    column = tl.program_id(1) * block + tl.arange(0, block)
    tap = tl.arange(0, tap_block)
    x = column[None, :] - tap[:, None]  # the pixels with taps on these columns, (taps, columns)
    for channel in range(channels):
        total = tl.zeros((block,), tl.float32)
        for i in range(taps):
            y = row - i + 0 * x
            valid = (tap[:, None] < taps) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            at = n * kn + y * ky + x * kx
            down = tl.load(vertical + at + i * kc, valid, 0.0).to(tl.float32)
            across = tl.load(horizontal + at + tap[:, None] * kc, valid, 0.0).to(tl.float32)
            grad_output = tl.load(
                gradient + n * on + channel * oc + y * oy + x * ox, valid, 0.0
            ).to(tl.float32)
            total += tl.sum(down * across * grad_output, axis=0)
        place = n * fn + channel * fc + row * fy + column * fx
        tl.store(result + place, total, column < width + taps - 1)
