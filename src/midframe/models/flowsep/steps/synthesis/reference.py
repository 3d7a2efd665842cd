"""Synthesis in PyTorch."""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.ops.flow_separable import flow_separable_convolution
from midframe.ops.resampling import Resampling
from midframe.ops.upsampling import upsample


def synthesise(
    first: Tensor,
    second: Tensor,
    fields: Tensor,
    factor: int,
    rows: slice,
    columns: slice,
    deviation: Tensor,
    *,
    resampling: Resampling = "linear",
) -> Tensor:
    """See `Steps.synthesise`. Differentiable in the fields."""
    layout = FieldLayout.of(fields)
    top, inner_rows = _span(rows, factor, fields.shape[2])
    left, inner_columns = _span(columns, factor, fields.shape[3])
    upsampled = upsample(fields[..., top, left], factor)[..., inner_rows, inner_columns]
    parts = layout.split(upsampled)
    corner = torch.cat(
        [fields.new_full((1, 1, 1, 1), start) for start in (columns.start, rows.start)], dim=1
    )
    filtered_first = flow_separable_convolution(
        first,
        parts.flow_to_first * factor + corner,
        parts.first_vertical,
        parts.first_horizontal,
        resampling=resampling,
    )
    filtered_second = flow_separable_convolution(
        second,
        parts.flow_to_second * factor + corner,
        parts.second_vertical,
        parts.second_horizontal,
        resampling=resampling,
    )
    missing = first.shape[1] - COLOURS  # alpha has no residual
    residual = functional.pad(parts.residual * deviation, (0, 0, 0, 0, 0, missing))
    return parts.mask * filtered_first + (1 - parts.mask) * filtered_second + residual


def _span(part: slice, factor: int, size: int) -> tuple[slice, slice]:
    """Return the range of the fields along an axis that a part of the frame needs, and the part
    within it after upsampling."""
    start, stop = max(0, part.start // factor - 1), min(size, -(-part.stop // factor) + 1)
    return slice(start, stop), slice(part.start - start * factor, part.stop - start * factor)
