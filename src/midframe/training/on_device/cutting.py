"""Cutting crops out of clips that lie in memory as bytes, reduced, mirrored and transposed."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

try:
    import triton

    from midframe.training.on_device.cutting_cuda import cut as _cut_by_triton
except ImportError:  # on the CPU nothing but PyTorch is needed
    triton = None


class Places(NamedTuple):
    """Where crops lie and how they are turned, (N,) each."""

    corner: Tensor
    """Index of the upper left pixel's first colour."""
    row_length: Tensor
    """Bytes of a row of the frame."""
    mirrored_rows: Tensor
    mirrored_columns: Tensor
    transposed: Tensor
    """Booleans."""
    colours: Tensor
    """(N, 3): which colour of a pixel becomes red, green and blue."""


def cut(flat: Tensor, places: Places, size: int, target: int) -> Tensor:
    """Cut crops of a size and reduce them to another by averaging what a pixel covers.

    Args:
        flat: frames (H, W, 3) of bytes one after another.
        places: of the crops.
        size: height and width of the crops in pixels of the frames.
        target: height and width of the result.

    Returns:
        (N, 3, target, target) in [0, 1].
    """
    if flat.is_cuda and triton is not None:
        result: Tensor = _cut_by_triton(flat, places, size, target)
        return result
    return cut_plainly(flat, places, size, target)


def cut_plainly(flat: Tensor, places: Places, size: int, target: int) -> Tensor:
    """`cut` in PyTorch."""
    plain = torch.arange(size, device=flat.device)
    rows, columns = (
        torch.where(mirrored[:, None], size - 1 - plain, plain)
        for mirrored in (places.mirrored_rows, places.mirrored_columns)
    )
    rows, columns = rows[:, :, None].expand(-1, -1, size), columns[:, None].expand(-1, size, -1)
    turned = places.transposed[:, None, None]
    rows, columns = (torch.where(turned, axis.mT, axis) for axis in (rows, columns))
    offset = rows * places.row_length[:, None, None] + columns * 3
    index = places.corner[:, None, None, None] + offset[:, None] + places.colours[:, :, None, None]
    crops = flat[index].float() / 255  # (N, 3, size, size)
    if size == target:
        return crops
    matrix = box_matrix(size, target, flat.device)
    return matrix @ crops @ matrix.T


def box_matrix(size: int, target: int, device: Any) -> Tensor:
    """What each of `target` values averages of `size` values, (target, size)."""
    factor = size / target
    start = torch.arange(target, device=device)[:, None] * factor
    pixel = torch.arange(size, device=device)[None]
    overlap = torch.minimum(pixel + 1, start + factor) - torch.maximum(pixel, start)
    return overlap.clamp(min=0) / factor
