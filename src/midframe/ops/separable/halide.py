"""Separable convolution on the CPU, by Halide pipelines."""

import halide as hl
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops import halide_tools
from midframe.ops.halide_tools import LANES, TYPES, array, buffer, channel_groups
from midframe.ops.separable.halide_pipelines import (
    ROWS,
    forward_pipeline,
    frame_pipeline,
    horizontal_pipeline,
    vertical_pipeline,
)

CHANNELS = 3
"""Colours filtered at a time; frames with more are processed in groups."""


def supports(frame: Tensor, kernel: Tensor) -> bool:
    """Return whether these pipelines support such tensors: float32 frames, kernels in float32 or
    bfloat16, on the CPU."""
    return halide_tools.supports(frame) and kernel.dtype in TYPES


def separable_forward(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a padded frame; shapes as in `midframe.ops.separable_convolution`."""
    height, width = vertical.shape[2:]
    frame, vertical, horizontal = _pad_width(width, frame, vertical, horizontal)
    result = frame.new_empty(*frame.shape[:2], _whole_blocks(height), vertical.shape[3])
    for group in channel_groups(frame.shape[1], CHANNELS):
        colours = frame[:, group]
        run = forward_pipeline(colours.shape[1], vertical.dtype == torch.bfloat16)
        run(
            buffer(colours),
            buffer(vertical),
            buffer(horizontal),
            *_extents(vertical),
            _blocks(result[:, group]),
        )
    return result[:, :, :height, :width].contiguous()


def separable_kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the vertical and the horizontal kernels, both (N, K, H, W), in the
    kernels' types."""
    height, width = vertical.shape[2:]
    gradient, frame, vertical, horizontal = _pad_width(width, gradient, frame, vertical, horizontal)
    first, *others = channel_groups(frame.shape[1], CHANNELS)
    grad_vertical, grad_horizontal = _kernel_gradients_of_group(
        gradient[:, first], frame[:, first], vertical, horizontal
    )
    for group in others:
        of_group = _kernel_gradients_of_group(
            gradient[:, group], frame[:, group], vertical, horizontal
        )
        grad_vertical += of_group[0]
        grad_horizontal += of_group[1]
    return (
        grad_vertical[:, :, :height, :width].to(vertical.dtype).contiguous(),
        grad_horizontal[:, :, :height, :width].to(vertical.dtype).contiguous(),
    )


def _kernel_gradients_of_group(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients from some of the colours, float32, with rows up to whole blocks."""
    taps, height, width = vertical.shape[1:]
    channels = frame.shape[1]
    bf16 = vertical.dtype == torch.bfloat16
    inputs = [buffer(gradient), buffer(frame)]
    # Row y of a block uses frame row `inner` at tap inner - y, which at both ends is outside the
    # kernel: ROWS - 1 additional planes on either side receive those values.
    planes = frame.new_empty(len(frame), taps + 2 * (ROWS - 1), _whole_blocks(height), width)
    grad_vertical = planes[:, ROWS - 1 : ROWS - 1 + taps]
    vertical_pipeline(channels, bf16)(
        *inputs, buffer(horizontal), *_extents(vertical), _slanted_blocks(planes, taps)
    )
    grad_horizontal = frame.new_empty(len(frame), taps, _whole_blocks(height), width)
    horizontal_pipeline(channels, bf16)(
        *inputs, buffer(vertical), *_extents(vertical), _blocks(grad_horizontal)
    )
    return grad_vertical, grad_horizontal


def separable_frame_gradient(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    """Return the gradient of the padded frame, (N, C, H+K-1, W+K-1)."""
    height, width = frame.shape[2:]
    result = frame.new_empty(*frame.shape[:2], _whole_blocks(height), max(width, LANES))
    for group in channel_groups(frame.shape[1], CHANNELS):
        colours = gradient[:, group]
        run = frame_pipeline(colours.shape[1], vertical.dtype == torch.bfloat16)
        sizes = (*_extents(vertical), vertical.shape[3])
        run(
            buffer(colours), buffer(vertical), buffer(horizontal), *sizes, _blocks(result[:, group])
        )
    return result[:, :, :height, :width].contiguous()


def _whole_blocks(height: int) -> int:
    """Round a number of rows up to whole blocks."""
    return -(-height // ROWS) * ROWS


def _pad_width(width: int, *tensors: Tensor) -> list[Tensor]:
    """Pad narrow tensors on the right, so that a row of the output fills at least one vector."""
    missing = max(width, LANES) - width
    return [functional.pad(tensor, (0, missing)) if missing else tensor for tensor in tensors]


def _extents(kernel: Tensor) -> tuple[int, int]:
    """Return the taps and rows of kernels (N, K, H, W), parameters of the pipelines."""
    return kernel.shape[1], kernel.shape[2]


def _blocks(tensor: Tensor) -> hl.Buffer:
    """Return (N, C, H, W) for writing, as (x, y within the block, c, block, n)."""
    samples, channels, height, width = tensor.shape
    view = array(tensor).reshape(samples, channels, height // ROWS, ROWS, width, copy=False)
    return hl.Buffer(view.transpose(0, 2, 1, 3, 4))


def _slanted_blocks(planes: Tensor, taps: int) -> hl.Buffer:
    """Return planes of taps for writing, as (x, y within the block, inner, block, n), where the tap
    is inner - y: the next row of a block is one row below and one plane before."""
    memory = array(planes)
    per_sample, per_plane, per_row, per_pixel = memory.strides
    shape = (memory.shape[0], memory.shape[2] // ROWS, taps + ROWS - 1, ROWS, memory.shape[3])
    strides = (per_sample, ROWS * per_row, per_plane, per_row - per_plane, per_pixel)
    return hl.Buffer(np.lib.stride_tricks.as_strided(memory[:, ROWS - 1 :], shape, strides))
