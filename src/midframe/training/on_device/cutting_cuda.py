"""Cut crops on CUDA by one Triton kernel, from bytes to downscaled crops."""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.ops.dispatch import device_guard

BLOCK = 256
"""Output pixels per program instance."""


def cut_crops(flat: Tensor, positions: Any, size: int, target: int) -> Tensor:
    """See `midframe.training.on_device.cutting.cut_crops`."""
    count = len(positions.corner)
    result = torch.empty(count, 3, target, target, device=flat.device)
    # bit 0: mirrored rows, bit 1: mirrored columns, bit 2: transposed
    turns = (
        positions.mirrored_rows.int()
        + 2 * positions.mirrored_columns.int()
        + 4 * positions.transposed.int()
    )
    factor = size / target
    with device_guard(flat):
        _cut[(triton.cdiv(target * target, BLOCK), count)](
            flat, positions.corner, positions.row_length, turns, positions.colours.contiguous(),
            result, target, factor, taps=math.ceil(factor) + (not factor.is_integer()), block=BLOCK,
        )  # fmt: skip
    return result


@triton.jit  # type: ignore[untyped-decorator]
def _cut(  # type: ignore[no-untyped-def]
    flat, corners, row_lengths, turns, colours, result, target, factor,
    taps: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, pixel = tl.program_id(1), tl.program_id(0) * block + tl.arange(0, block)
    valid = pixel < target * target
    turn = tl.load(turns + n)
    y, x = pixel // target, pixel % target
    row = tl.where(turn // 4 == 1, x, y)
    column = tl.where(turn // 4 == 1, y, x)
    row = tl.where(turn % 2 == 1, target - 1 - row, row)
    column = tl.where(turn // 2 % 2 == 1, target - 1 - column, column)
    top, left = row * factor, column * factor
    first_row, first_column = tl.floor(top).to(tl.int32), tl.floor(left).to(tl.int32)
    base = flat + tl.load(corners + n)
    length = tl.load(row_lengths + n)
    for colour in tl.static_range(3):
        total = tl.zeros((block,), tl.float32)
        chosen = tl.load(colours + n * 3 + colour)
        for i in tl.static_range(taps):
            down = first_row + i
            overlap_y = tl.minimum(down + 1, top + factor) - tl.maximum(down, top)
            for j in tl.static_range(taps):
                across = first_column + j
                overlap_x = tl.minimum(across + 1, left + factor) - tl.maximum(across, left)
                used = valid & (overlap_y > 0) & (overlap_x > 0)
                value = tl.load(base + down.to(tl.int64) * length + across * 3 + chosen, used, 0)
                total += value.to(tl.float32) * tl.where(used, overlap_y * overlap_x, 0.0)
        at = (n.to(tl.int64) * 3 + colour) * target * target + pixel
        tl.store(result + at, total / (255.0 * factor * factor), valid)
