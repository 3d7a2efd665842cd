"""Separable convolution on CUDA, as Triton kernels: products of small matrices on tensor cores.

A program computes a block of adjacent pixels x of one row y. The horizontal kernels of the block,
each one column further to the right than the one before, are the columns of a band matrix:

    band[u, x] = horizontal[u - x, y, x] for 0 <= u - x < K, else 0
    rows[i, u] = frame[c, y + i, u]
    out[c, y, x] = sum_i vertical[i, y, x] * (rows @ band)[i, x]

`rows @ band` is nearly all of the work, although half of the elements are outside the band. The
gradients of the kernels are such products too, with the gradient g of the output:

    grad_vertical[i, x] = sum_c (rows @ (band * g[c]))[i, x]
    grad_band[u, x] = sum_c (rows.T @ (vertical * g[c]))[u, x]

No intermediate result has a size of K squared. Triton's interpreter runs the same kernels on the
CPU for tests without a GPU.
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
    """Return the gradients of the vertical and the horizontal kernels, in their shape and type."""
    vertical = _dense(vertical)
    grad_vertical = torch.empty_like(vertical)
    horizontal = _with_layout_of(horizontal, vertical)
    grad_horizontal = _with_layout_of(torch.empty_like(grad_vertical), vertical)
    gradient = gradient.contiguous()
    arguments = (gradient, frame, vertical, horizontal, grad_vertical, grad_horizontal)
    _kernel_gradients[_grid(vertical)](
        *arguments, **_layout(frame, vertical, gradient), precision=product_precision()
    )
    return grad_vertical, grad_horizontal


def separable_frame_gradient(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    """Return the gradient of the padded frame, in its shape and type.

    Each pixel of the frame gathers it from the kernels above it, so it is reproducible.
    """
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
    """Return the sizes and strides that all kernels need.

    Args:
        frame: the padded frame or its gradient; strides `stride_f*`.
        kernel: both kernels and their gradients are laid out like it; strides `stride_k*`.
        image: the output or its gradient; strides `stride_o*`.
    """
    strides = {
        f"stride_{letter}{axis}": step
        for letter, tensor in (("f", frame), ("k", kernel), ("o", image))
        for axis, step in zip(("n", "c", "y", "x"), tensor.stride(), strict=True)
    }
    taps = kernel.shape[1]
    tap_block = max(MIN_DOT, triton.next_power_of_2(taps))
    fixed = {"channels": frame.shape[1], "taps": taps, "tap_block": tap_block, "block": BLOCK}
    return {"height": kernel.shape[2], "width": kernel.shape[3], **strides, **fixed}


@triton.jit
def _load_band(horizontal, first_tap, stride_kc, column, x, width, taps):  # type: ignore[no-untyped-def]
    """Return the horizontal kernels of pixels x as a band matrix, (columns, pixels).

    Args:
        first_tap: offsets of the first tap of each pixel's kernel.
        column: of the frame; the rows of the matrix.

    Returns:
        The tap of each element, whether it is one of the kernel, and its value, 0 if not.
    """
    j = column[:, None] - x[None, :]
    inside = (j >= 0) & (j < taps) & (x[None, :] < width)
    return (
        j,
        inside,
        tl.load(horizontal + first_tap[None, :] + j * stride_kc, inside, 0.0).to(tl.float32),
    )


@triton.jit
def _load_rows(  # type: ignore[no-untyped-def]
    frame, channel_offset, stride_fy, stride_fx, y, tap, column, width, taps
):
    """Return the rows of a channel under the vertical kernels of pixel row y, (taps, columns)."""
    inside = (tap[:, None] < taps) & (column[None, :] < width + taps - 1)
    offset = channel_offset + (y + tap[:, None]) * stride_fy + column[None, :] * stride_fx
    return tl.load(frame + offset, inside, 0.0).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    frame, vertical, horizontal, result, height, width,
    stride_fn, stride_fc, stride_fy, stride_fx, stride_kn, stride_kc, stride_ky, stride_kx,
    stride_on, stride_oc, stride_oy, stride_ox,
    channels: tl.constexpr, taps: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    """Filter a block of pixels. Program axes: row of a sample, block of its columns."""
    n = (tl.program_id(0) // height).to(tl.int64)
    y = tl.program_id(0) % height
    left = tl.program_id(1) * block
    tap = tl.arange(0, tap_block)
    step = tl.arange(0, block)
    x = left + step
    first_tap = n * stride_kn + y * stride_ky + x * stride_kx
    valid = (tap[:, None] < taps) & (x[None, :] < width)
    vertical_taps = tl.load(
        vertical + first_tap[None, :] + tap[:, None] * stride_kc, valid, 0.0
    ).to(tl.float32)  # (taps, pixels)
    for channel in range(channels):
        filtered_rows = tl.zeros((tap_block, block), tl.float32)
        for start in range(0, taps + block - 1, block):
            column = left + start + step
            _, _, band = _load_band(horizontal, first_tap, stride_kc, column, x, width, taps)
            rows = _load_rows(
                frame, n * stride_fn + channel * stride_fc, stride_fy, stride_fx, y, tap, column,
                width, taps,
            )  # fmt: skip
            filtered_rows = tl.dot(rows, band, filtered_rows, input_precision=precision)
        tl.store(
            result + n * stride_on + channel * stride_oc + y * stride_oy + x * stride_ox,
            tl.sum(vertical_taps * filtered_rows, axis=0),
            x < width,
        )


@triton.jit  # type: ignore[untyped-decorator]
def _kernel_gradients(  # type: ignore[no-untyped-def]
    gradient, frame, vertical, horizontal, grad_vertical, grad_horizontal, height, width,
    stride_fn, stride_fc, stride_fy, stride_fx, stride_kn, stride_kc, stride_ky, stride_kx,
    stride_on, stride_oc, stride_oy, stride_ox,
    channels: tl.constexpr, taps: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of both kernels of a block of pixels; program axes as in `_forward`."""
    n = (tl.program_id(0) // height).to(tl.int64)
    y = tl.program_id(0) % height
    left = tl.program_id(1) * block
    tap = tl.arange(0, tap_block)
    step = tl.arange(0, block)
    x = left + step
    first_tap = n * stride_kn + y * stride_ky + x * stride_kx
    valid = (tap[:, None] < taps) & (x[None, :] < width)
    vertical_taps = tl.load(
        vertical + first_tap[None, :] + tap[:, None] * stride_kc, valid, 0.0
    ).to(tl.float32)  # (taps, pixels)
    vertical_sum = tl.zeros((tap_block, block), tl.float32)
    for start in range(0, taps + block - 1, block):
        column = left + start + step
        j, inside, band = _load_band(horizontal, first_tap, stride_kc, column, x, width, taps)
        band_sum = tl.zeros((block, block), tl.float32)
        for channel in range(channels):
            grad_output = tl.load(
                gradient + n * stride_on + channel * stride_oc + y * stride_oy + x * stride_ox,
                x < width,
                0.0,
            ).to(tl.float32)
            rows = _load_rows(
                frame, n * stride_fn + channel * stride_fc, stride_fy, stride_fx, y, tap, column,
                width, taps,
            )  # fmt: skip
            vertical_sum = tl.dot(
                rows, band * grad_output[None, :], vertical_sum, input_precision=precision
            )
            band_sum = tl.dot(
                tl.trans(rows),
                vertical_taps * grad_output[None, :],
                band_sum,
                input_precision=precision,
            )
        # Each tap is in the band of one iteration only, so it is stored, not added.
        tl.store(grad_horizontal + first_tap[None, :] + j * stride_kc, band_sum, inside)
    tl.store(grad_vertical + first_tap[None, :] + tap[:, None] * stride_kc, vertical_sum, valid)


@triton.jit  # type: ignore[untyped-decorator]
def _frame_gradient(  # type: ignore[no-untyped-def]
    gradient, vertical, horizontal, result, height, width,
    stride_fn, stride_fc, stride_fy, stride_fx, stride_kn, stride_kc, stride_ky, stride_kx,
    stride_on, stride_oc, stride_oy, stride_ox,
    channels: tl.constexpr, taps: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of a block of pixels of the padded frame: a sum over all kernels that
    cover them. Program axes: row of a padded frame, block of its columns."""
    rows = height + taps - 1
    n = (tl.program_id(0) // rows).to(tl.int64)
    row = tl.program_id(0) % rows
    column = tl.program_id(1) * block + tl.arange(0, block)
    j = tl.arange(0, tap_block)[:, None]
    x = column[None, :] - j  # the pixels whose tap j is on these columns, (taps, columns)
    for channel in range(channels):
        total = tl.zeros((block,), tl.float32)
        for i in range(taps):
            y = row - i + 0 * x
            valid = (j < taps) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            first_tap = n * stride_kn + y * stride_ky + x * stride_kx
            tap_i = tl.load(vertical + first_tap + i * stride_kc, valid, 0.0).to(tl.float32)
            tap_j = tl.load(horizontal + first_tap + j * stride_kc, valid, 0.0).to(tl.float32)
            grad_output = tl.load(
                gradient + n * stride_on + channel * stride_oc + y * stride_oy + x * stride_ox,
                valid,
                0.0,
            ).to(tl.float32)
            total += tl.sum(tap_i * tap_j * grad_output, axis=0)
        offset = n * stride_fn + channel * stride_fc + row * stride_fy + column * stride_fx
        tl.store(result + offset, total, column < width + taps - 1)
