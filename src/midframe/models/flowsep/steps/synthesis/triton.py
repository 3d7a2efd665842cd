"""Synthesis on CUDA, without gradients, as one Triton kernel that writes only the frame.

A program computes a block of adjacent pixels of one row. It upsamples their fields and filters both
frames as `midframe.ops.flow_separable` does: kernels are shifted by the fraction of a pixel,
the taps j are an axis of its values, the taps i a loop.
"""

import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.layout import FieldLayout
from midframe.ops.dispatch import device_guard
from midframe.ops.flow_separable.triton_kernels import pixel_under_tap
from midframe.ops.resampling import EXTRA_TAPS
from midframe.ops.triton_tools import replace_nan, sample_bilinear, supports

BLOCK = 64
"""Pixels that a program computes."""
SIZES = [
    "height", "width", "rows", "columns", "field_rows", "field_columns", "top", "left", "factor"
]  # fmt: skip
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


def supports_frame(frame: Tensor) -> bool:
    """Return whether the kernel supports such frames."""
    return supports(frame) and frame.shape[1] in (3, 4)


def synthesise(
    first: Tensor,
    second: Tensor,
    fields: Tensor,
    factor: int,
    rows: slice,
    columns: slice,
    deviation: Tensor,
    *,
    resampling: str = "linear",
) -> Tensor:
    """See `Steps.synthesise`."""
    samples, channels = first.shape[:2]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    result = first.new_empty(samples, channels, height, width)
    layout = FieldLayout.of(fields)
    taps = layout.taps
    extra = EXTRA_TAPS[resampling]
    with device_guard(first):
        _synthesise[(samples * height, triton.cdiv(width, BLOCK))](
            first.contiguous(), second.contiguous(), fields.contiguous(),
            deviation.reshape(-1).contiguous(), result,
            height=height, width=width, rows=first.shape[2], columns=first.shape[3],
            field_rows=fields.shape[2], field_columns=fields.shape[3],
            top=rows.start, left=columns.start, factor=factor,
            channels=channels, field_count=layout.channels,
            first_kernels=layout.first_vertical.start,
            flow_to_second=layout.flow_to_second.start,
            second_kernels=layout.second_vertical.start, mask=layout.mask.start,
            residual=layout.residual.start, taps=taps, extra=extra,
            tap_block=triton.next_power_of_2(taps + extra), block=BLOCK, num_warps=2,
        )  # fmt: skip
    return result


@triton.jit
def _field_neighbours(position, size, factor):  # type: ignore[no-untyped-def]
    """Return the two values of the fields around a pixel along an axis, and the fraction beyond the
    first (corners not aligned)."""
    field_position = tl.maximum((position + 0.5) / factor - 0.5, 0.0)
    before = tl.minimum(tl.floor(field_position).to(tl.int32), size - 1)
    return before, tl.minimum(before + 1, size - 1), field_position - before


@triton.jit  # type: ignore[untyped-decorator]
def _shift_weight(fraction, m, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return weight m of `midframe.ops.resampling.shift_weights`, by distance: m is not known at
    compile time."""
    distance = tl.abs(fraction + extra // 2 - m)
    if extra == 1:
        return 1.0 - distance
    near = (1.5 * distance - 2.5) * distance * distance + 1.0
    far = ((2.5 - 0.5 * distance) * distance - 4.0) * distance + 2.0
    return tl.where(distance < 1, near, far)


@triton.jit  # type: ignore[untyped-decorator]
def _filter_frame(  # type: ignore[no-untyped-def]
    frame, flow, kernels, y, x, a, b, c, d, fraction_x, fraction_y, valid, rows, columns, area,
    factor,
    channels: tl.constexpr, taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Return the colours of a frame, sampled along a flow and filtered; the fourth is 0 if there
    are three.

    Args:
        frame: pointer to the frame of a sample, (channels, rows, columns).
        flow, kernels: pointers to the first of its fields: x and y; vertical and horizontal taps.
        y, x: pixels of the frame.
        a, b, c, d, fraction_x, fraction_y: the values of the fields around them, as
            `sample_bilinear` takes them.
        area: of the fields, the stride between two of them.
    """
    source_x = replace_nan(
        x + factor * sample_bilinear(flow, a, b, c, d, fraction_x, fraction_y, valid)
    )
    source_y = replace_nan(
        y + factor * sample_bilinear(flow + area, a, b, c, d, fraction_x, fraction_y, valid)
    )
    left, top = tl.floor(source_x), tl.floor(source_y)
    shift_x, shift_y = source_x - left, source_y - top
    j = tl.arange(0, tap_block)[:, None]
    tap_j = tl.zeros((tap_block, block), tl.float32)
    for m in range(extra + 1):  # not unrolled, as below: too many loads for the registers
        horizontal = kernels + (taps + j - m) * area
        used = valid[None, :] & (j >= m) & (j - m < taps)
        tap = sample_bilinear(
            horizontal, a[None, :], b[None, :], c[None, :], d[None, :], fraction_x[None, :],
            fraction_y, used,
        )  # fmt: skip
        tap_j += _shift_weight(shift_x, m, extra)[None, :] * tap
    column = pixel_under_tap(left[None, :], j, columns, taps, extra)
    used = valid[None, :] & (j < taps + extra)
    red = tl.zeros((block,), tl.float32)
    green = tl.zeros((block,), tl.float32)
    blue = tl.zeros((block,), tl.float32)
    alpha = tl.zeros((block,), tl.float32)
    plane = rows.to(tl.int64) * columns
    for i in range(taps + extra):
        tap_i = tl.zeros((block,), tl.float32)
        for m in range(extra + 1):
            inside = valid & (i - m + 0 * x >= 0) & (i - m + 0 * x < taps)
            vertical = kernels + (i - m) * area
            tap = sample_bilinear(vertical, a, b, c, d, fraction_x, fraction_y, inside)
            tap_i += _shift_weight(shift_y, m, extra) * tap
        row = pixel_under_tap(top, i, rows, taps, extra)
        line = frame + row[None, :] * columns + column
        red += tap_i * tl.sum(tap_j * tl.load(line, used, 0.0).to(tl.float32), axis=0)
        green += tap_i * tl.sum(tap_j * tl.load(line + plane, used, 0.0).to(tl.float32), axis=0)
        blue += tap_i * tl.sum(tap_j * tl.load(line + 2 * plane, used, 0.0).to(tl.float32), axis=0)
        if channels == 4:
            alpha += tap_i * tl.sum(
                tap_j * tl.load(line + 3 * plane, used, 0.0).to(tl.float32), axis=0
            )
    return red, green, blue, alpha


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _synthesise(  # type: ignore[no-untyped-def]
    first, second, fields, deviation, result, height, width, rows, columns, field_rows,
    field_columns, top, left, factor,
    channels: tl.constexpr, field_count: tl.constexpr, first_kernels: tl.constexpr,
    flow_to_second: tl.constexpr, second_kernels: tl.constexpr, mask: tl.constexpr,
    residual: tl.constexpr, taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Render a block of pixels. Program axes: row of a tile, block of its columns.

    Args:
        first, second: (N, channels, rows, columns).
        fields: (N, field_count, field_rows, field_columns), the flow to the first frame at 0.
        deviation: (N,).
        result: the tile, (N, channels, height, width).
        top, left: position of the tile in the frames.
        first_kernels, flow_to_second, second_kernels, mask, residual: their first field.
    """
    n = (tl.program_id(0) // height).to(tl.int64)
    row = tl.program_id(0) % height
    column = tl.program_id(1) * block + tl.arange(0, block)
    valid = column < width
    area = field_rows * field_columns
    y, x = top + row, left + column
    above, below, fraction_y = _field_neighbours(y, field_rows, factor)
    before, after, fraction_x = _field_neighbours(x, field_columns, factor)
    # a, b, c, d: top left, top right, bottom left and bottom right value of the fields
    a = above * field_columns + before
    b = above * field_columns + after
    c = below * field_columns + before
    d = below * field_columns + after
    field = fields + n * field_count * area
    frame = n * channels * rows * columns
    red1, green1, blue1, alpha1 = _filter_frame(
        first + frame, field, field + first_kernels * area, y, x,
        a, b, c, d, fraction_x, fraction_y, valid, rows, columns, area, factor,
        channels, taps, extra, tap_block, block,
    )  # fmt: skip
    red2, green2, blue2, alpha2 = _filter_frame(
        second + frame, field + flow_to_second * area, field + second_kernels * area, y, x,
        a, b, c, d, fraction_x, fraction_y, valid, rows, columns, area, factor,
        channels, taps, extra, tap_block, block,
    )  # fmt: skip
    m = sample_bilinear(field + mask * area, a, b, c, d, fraction_x, fraction_y, valid)
    scale = tl.load(deviation + n)
    colour = field + residual * area
    pixel = result + (n * channels * height + row) * width + column
    plane = height.to(tl.int64) * width
    red = m * red1 + (1 - m) * red2
    red += scale * sample_bilinear(colour, a, b, c, d, fraction_x, fraction_y, valid)
    green = m * green1 + (1 - m) * green2
    green += scale * sample_bilinear(colour + area, a, b, c, d, fraction_x, fraction_y, valid)
    blue = m * blue1 + (1 - m) * blue2
    blue += scale * sample_bilinear(colour + 2 * area, a, b, c, d, fraction_x, fraction_y, valid)
    tl.store(pixel, red.to(result.dtype.element_ty), valid)
    tl.store(pixel + plane, green.to(result.dtype.element_ty), valid)
    tl.store(pixel + 2 * plane, blue.to(result.dtype.element_ty), valid)
    if channels == 4:
        alpha = m * alpha1 + (1 - m) * alpha2
        tl.store(pixel + 3 * plane, alpha.to(result.dtype.element_ty), valid)
