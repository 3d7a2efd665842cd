"""From what a network says at low resolution to a frame at full size, in one pass: FlowSep's last step."""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.dispatch import cuda_module, forward_module
from midframe.ops.flow_separable import flow_separable_convolution
from midframe.ops.resampling import Resampling


def synthesise(
    first: Tensor, second: Tensor, said: Tensor, factor: int, rows: slice, columns: slice, deviation: Tensor,
    *, resampling: Resampling = "linear",
) -> Tensor:  # fmt: skip
    """Make a rectangle of the frame between two, from fields that are `factor` times smaller than the frames.

    Fields are enlarged bilinearly (corners not aligned), both frames are fetched along their flows and filtered with
    their kernels (`flow_separable_convolution`), mixed by the mask, and the residual is added to their colours.

    Args:
        first, second: frames (N, C, A, B), float32; C is 3, or 4 with alpha, which gets no residual.
        said: fields (N, 4 + 4K + 4, h, w), float32: flows to the first and the second frame, x before y, in pixels of
            this size; the column and the row of the first, then of the second; the share of the first frame; red, green
            and blue of the residual.
        factor: a whole number; `h * factor` and `w * factor` are at least the frames' sizes.
        rows, columns: the rectangle, in pixels of the frames.
        deviation: what the residual is multiplied by, (N, 1, 1, 1).
        resampling: how the frames are interpolated between pixels, as in `flow_separable_convolution`.

    Returns:
        (N, C, rows, columns), not clipped. Differentiable in the fields; without gradients, by Halide or Triton.
    """
    fast = cuda_module("synthesis_cuda", first, has_gradients=False)
    if fast := fast or forward_module("synthesis_cpu", first):
        given = first, second, said, factor, rows, columns, deviation
        result: Tensor = fast.synthesise(*given, resampling=resampling)
        return result
    return synthesise_plainly(first, second, said, factor, rows, columns, deviation, resampling=resampling)


def synthesise_plainly(
    first: Tensor, second: Tensor, said: Tensor, factor: int, rows: slice, columns: slice, deviation: Tensor,
    *, resampling: Resampling = "linear",
) -> Tensor:  # fmt: skip
    """`synthesise` in PyTorch, differentiable in the fields."""
    (top, inner_rows), (left, inner_columns) = (
        _span(part, factor, size) for part, size in zip((rows, columns), said.shape[2:], strict=True)
    )
    whole = enlarged(said[..., top, left], factor)[..., inner_rows, inner_columns]
    taps = (said.shape[1] - 8) // 4
    flow, kernels, mask, residual = torch.split(whole, [4, 4 * taps, 1, 3], dim=1)
    corner = torch.cat([said.new_full((1, 1, 1, 1), start) for start in (columns.start, rows.start)], dim=1)
    made = []
    for frame, where, both in zip((first, second), flow.chunk(2, 1), kernels.chunk(2, 1), strict=True):
        vertical, horizontal = both.chunk(2, 1)
        place = where * factor + corner
        made.append(flow_separable_convolution(frame, place, vertical, horizontal, resampling=resampling))
    residual = functional.pad(residual * deviation, (0, 0, 0, 0, 0, first.shape[1] - 3))
    return mask * made[0] + (1 - mask) * made[1] + residual


def enlarged(images: Tensor, factor: int) -> Tensor:
    """Enlarge (N, C, h, w) by a whole factor, bilinear; corners are not aligned."""
    if factor == 1:
        return images
    return functional.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)


def _span(part: slice, factor: int, size: int) -> tuple[slice, slice]:
    """What of an axis of fields a part of the frame needs, and the part within that, enlarged."""
    start, stop = max(0, part.start // factor - 1), min(size, -(-part.stop // factor) + 1)
    return slice(start, stop), slice(part.start - start * factor, part.stop - start * factor)
