"""Cut crops from clips stored as bytes: flipped, transposed and downscaled."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from midframe.ops.dispatch import load_optional


class CropPositions(NamedTuple):
    """Positions and orientations of crops, (N,) each."""

    corner: Tensor
    """Index of the first channel of the top left pixel."""
    row_length: Tensor
    """Bytes per row of the frame."""
    mirrored_rows: Tensor
    mirrored_columns: Tensor
    transposed: Tensor
    """Boolean, like the two flips."""
    colours: Tensor
    """(N, 3): permutation of the colour channels."""


def cut_crops(flat: Tensor, positions: CropPositions, size: int, target: int) -> Tensor:
    """Cut crops and downscale them with a box filter.

    Args:
        flat: frames (H, W, 3) of bytes, concatenated.
        positions: positions and orientations of the crops.
        size: height and width of the crops in pixels of the frames.
        target: height and width of the result.

    Returns:
        (N, 3, target, target) in [0, 1].
    """
    implementation = _cuda_implementation() if flat.is_cuda else cut_crops_reference
    return implementation(flat, positions, size, target)


@cache
def _cuda_implementation() -> Callable[[Tensor, CropPositions, int, int], Tensor]:
    return load_optional(_load_triton) or cut_crops_reference


def _load_triton() -> Callable[[Tensor, CropPositions, int, int], Tensor]:
    from midframe.training.on_device.cutting_cuda import cut_crops

    return cut_crops


def cut_crops_reference(flat: Tensor, positions: CropPositions, size: int, target: int) -> Tensor:
    """Cut crops as `cut_crops` does, in PyTorch."""
    plain = torch.arange(size, device=flat.device)
    rows = torch.where(positions.mirrored_rows[:, None], size - 1 - plain, plain)
    columns = torch.where(positions.mirrored_columns[:, None], size - 1 - plain, plain)
    rows, columns = rows[:, :, None].expand(-1, -1, size), columns[:, None].expand(-1, size, -1)
    transposed = positions.transposed[:, None, None]
    rows = torch.where(transposed, rows.mT, rows)
    columns = torch.where(transposed, columns.mT, columns)
    offset = rows * positions.row_length[:, None, None] + columns * 3
    index = (
        positions.corner[:, None, None, None]
        + offset[:, None]
        + positions.colours[:, :, None, None]
    )
    crops = flat[index].float() / 255  # (N, 3, size, size)
    if size == target:
        return crops
    matrix = box_filter_matrix(size, target, flat.device)
    return matrix @ crops @ matrix.T


def box_filter_matrix(size: int, target: int, device: Any) -> Tensor:
    """Return the matrix of a box filter from `size` to `target` values, (target, size)."""
    factor = size / target
    start = torch.arange(target, device=device)[:, None] * factor
    pixel = torch.arange(size, device=device)[None]
    overlap = torch.minimum(pixel + 1, start + factor) - torch.maximum(pixel, start)
    return overlap.clamp(min=0) / factor
