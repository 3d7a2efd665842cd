"""Synthesis on CUDA, without gradients, as one Triton kernel that writes only the frame.

A program computes a block of pixels in one row. It interpolates the fields, shifts the kernels by
the fraction of the flow, so that each tap is on a whole pixel, and filters both frames. The taps of
a row are one axis of the block.
"""

import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.layout import FieldLayout
from midframe.ops.dispatch import device_guard
from midframe.ops.resampling import EXTRA_TAPS
from midframe.ops.triton_tools import replace_nan, supports

BLOCK = 64
"""Pixels that a program computes."""
SIZES = ["height", "width", "rows", "columns", "lines", "values", "top", "left", "factor"]
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
            lines=fields.shape[2], values=fields.shape[3], top=rows.start, left=columns.start,
            factor=factor, channels=channels, fields=layout.channels,
            first_kernels=layout.first_vertical.start, second_flow=layout.flow_to_second.start,
            second_kernels=layout.second_vertical.start, mask=layout.mask.start,
            residual=layout.residual.start, taps=taps, extra=extra,
            tap_block=triton.next_power_of_2(taps + extra), block=BLOCK, num_warps=2,
        )  # fmt: skip
    return result


@triton.jit
def _interpolation_points(position, size, factor):  # type: ignore[no-untyped-def]
    """Return the two values of the fields around a pixel along an axis, and the fraction beyond the
    first."""
    place = tl.maximum((position + 0.5) / factor - 0.5, 0.0)
    before = tl.minimum(tl.floor(place).to(tl.int32), size - 1)
    return before, tl.minimum(before + 1, size - 1), place - before


@triton.jit
def _field(fields, a, b, c, d, px, py, used):  # type: ignore[no-untyped-def]
    """Return a field, interpolated; all arguments have shapes that broadcast."""
    upper = (
        tl.load(fields + a, used, 0.0).to(tl.float32) * (1 - px)
        + tl.load(fields + b, used, 0.0).to(tl.float32) * px
    )
    lower = (
        tl.load(fields + c, used, 0.0).to(tl.float32) * (1 - px)
        + tl.load(fields + d, used, 0.0).to(tl.float32) * px
    )
    return upper * (1 - py) + lower * py


@triton.jit  # type: ignore[untyped-decorator]
def _shift_weight(fraction, m, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the weight of tap m of a kernel of one tap that is shifted by a fraction (cubic: Keys
    1981, a = -1/2)."""
    d = tl.abs(fraction + extra // 2 - m)
    if extra == 1:
        return 1.0 - d
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((2.5 - 0.5 * d) * d - 4.0) * d + 2.0
    return tl.where(d < 1, near, far)


@triton.jit  # type: ignore[untyped-decorator]
def _filter_frame(  # type: ignore[no-untyped-def]
    frame, flow, kernels, y, x, a, b, c, d, px, py, valid, rows, columns, area, factor,
    channels: tl.constexpr, taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Return the colours of a frame, sampled along a flow and filtered; the fourth is 0 if there
    are three."""
    right = replace_nan(x + factor * _field(flow, a, b, c, d, px, py, valid))
    down = replace_nan(y + factor * _field(flow + area, a, b, c, d, px, py, valid))
    first_x, first_y = tl.floor(right), tl.floor(down)
    qx, qy = right - first_x, down - first_y
    j = tl.arange(0, tap_block)[:, None]
    across = tl.zeros((tap_block, block), tl.float32)
    for m in range(extra + 1):  # not unrolled, as below: too many loads for the registers
        at = kernels + (taps + j - m) * area
        used = valid[None, :] & (j >= m) & (j - m < taps)
        tap = _field(at, a[None, :], b[None, :], c[None, :], d[None, :], px[None, :], py, used)
        across += _shift_weight(qx, m, extra)[None, :] * tap
    column = first_x[None, :] + (j - taps // 2 - extra // 2)
    column = tl.minimum(tl.maximum(column, 0.0), columns - 1.0).to(tl.int32)
    used = valid[None, :] & (j < taps + extra)
    red = tl.zeros((block,), tl.float32)
    green = tl.zeros((block,), tl.float32)
    blue = tl.zeros((block,), tl.float32)
    alpha = tl.zeros((block,), tl.float32)
    size = rows.to(tl.int64) * columns
    for i in range(taps + extra):
        weight = tl.zeros((block,), tl.float32)
        for m in range(extra + 1):
            inside = valid & (i - m + 0 * x >= 0) & (i - m + 0 * x < taps)
            value = _field(kernels + (i - m) * area, a, b, c, d, px, py, inside)
            weight += _shift_weight(qy, m, extra) * value
        row = tl.minimum(tl.maximum(first_y + (i - taps // 2 - extra // 2), 0.0), rows - 1.0).to(
            tl.int32
        )
        source = frame + row[None, :] * columns + column
        red += weight * tl.sum(across * tl.load(source, used, 0.0).to(tl.float32), axis=0)
        green += weight * tl.sum(across * tl.load(source + size, used, 0.0).to(tl.float32), axis=0)
        blue += weight * tl.sum(
            across * tl.load(source + 2 * size, used, 0.0).to(tl.float32), axis=0
        )
        if channels == 4:
            alpha += weight * tl.sum(
                across * tl.load(source + 3 * size, used, 0.0).to(tl.float32), axis=0
            )
    return red, green, blue, alpha


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _synthesise(  # type: ignore[no-untyped-def]
    first, second, field_values, deviation, result, height, width, rows, columns, lines, values,
    top, left, factor,
    channels: tl.constexpr, fields: tl.constexpr, first_kernels: tl.constexpr,
    second_flow: tl.constexpr, second_kernels: tl.constexpr, mask: tl.constexpr,
    residual: tl.constexpr, taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    n = (tl.program_id(0) // height).to(tl.int64)
    row = tl.program_id(0) % height
    column = tl.program_id(1) * block + tl.arange(0, block)
    valid = column < width
    area = lines * values
    y, x = top + row, left + column
    above, below, py = _interpolation_points(y, lines, factor)
    before, after, px = _interpolation_points(x, values, factor)
    a = above * values + before
    b = above * values + after
    c = below * values + before
    d = below * values + after
    given = field_values + n * fields * area
    frame = n * channels * rows * columns
    r1, g1, b1, a1 = _filter_frame(
        first + frame, given, given + first_kernels * area, y, x, a, b, c, d, px, py, valid,
        rows, columns, area, factor, channels, taps, extra, tap_block, block,
    )  # fmt: skip
    r2, g2, b2, a2 = _filter_frame(
        second + frame, given + second_flow * area, given + second_kernels * area, y, x,
        a, b, c, d, px, py, valid,
        rows, columns, area, factor, channels, taps, extra, tap_block, block,
    )  # fmt: skip
    weight = _field(given + mask * area, a, b, c, d, px, py, valid)
    spread = tl.load(deviation + n)
    colour = given + residual * area
    to = result + (n * channels * height + row) * width + column
    size = height.to(tl.int64) * width
    red = weight * r1 + (1 - weight) * r2
    red += spread * _field(colour, a, b, c, d, px, py, valid)
    green = weight * g1 + (1 - weight) * g2
    green += spread * _field(colour + area, a, b, c, d, px, py, valid)
    blue = weight * b1 + (1 - weight) * b2
    blue += spread * _field(colour + 2 * area, a, b, c, d, px, py, valid)
    tl.store(to, red.to(result.dtype.element_ty), valid)
    tl.store(to + size, green.to(result.dtype.element_ty), valid)
    tl.store(to + 2 * size, blue.to(result.dtype.element_ty), valid)
    if channels == 4:
        tl.store(
            to + 3 * size, (weight * a1 + (1 - weight) * a2).to(result.dtype.element_ty), valid
        )
