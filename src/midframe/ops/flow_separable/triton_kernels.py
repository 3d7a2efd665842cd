"""The Triton kernels of separable convolution along a flow; `triton.py` launches them.

A flow that leads between pixels shifts the kernels by a fraction of a pixel. They become one tap
(linear) or three (cubic) longer, and each tap lies on one whole pixel. For pixel (y, x):

    out[c] = sum_i shifted_vertical[i] * sum_j shifted_horizontal[j] * frame[c, top + i, left + j]

i and j run from 0 to K + extra - 1; (top, left) is the first pixel under the shifted kernels. A
program computes a block of adjacent pixels of one row: program axes are the row of a sample and the
block of its columns. The taps j are an axis of its values, the taps i a loop.
"""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def _follow_flow(flow, height, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the program's sample, the columns of its pixels, their offsets in a channel, and the
    position (x, y) that the flow of each leads to."""
    n = (tl.program_id(0) // height).to(tl.int64)
    y = tl.program_id(0) % height
    x = tl.program_id(1) * block + tl.arange(0, block)
    pixel = y * width + x
    offset = n * 2 * height * width + pixel
    source_x = x + tl.load(flow + offset, x < width, 0.0).to(tl.float32)
    source_y = y + tl.load(flow + offset + height * width, x < width, 0.0).to(tl.float32)
    return n, x, pixel, source_x, source_y


@triton.jit  # type: ignore[untyped-decorator]
def _load_tap(kernel, first_tap, k, area, inside, taps: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return tap k of kernels (N, K, H, W), 0 outside of 0 to K - 1. `first_tap` (the offsets of
    tap 0) and `k` have shapes that broadcast."""
    return tl.load(kernel + first_tap + k * area, inside & (k >= 0) & (k < taps), 0.0).to(
        tl.float32
    )


@triton.jit  # type: ignore[untyped-decorator]
def _weight(fraction, m: tl.constexpr, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return weight m of `midframe.ops.resampling.shift_weights`."""
    p = fraction
    if extra == 1:
        weight = 1.0 - p if m == 0 else p
    elif m == 0:
        weight = ((1.0 - 0.5 * p) * p - 0.5) * p
    elif m == 1:
        weight = (1.5 * p - 2.5) * p * p + 1.0
    elif m == 2:
        weight = ((2.0 - 1.5 * p) * p + 0.5) * p
    else:
        weight = (0.5 * p - 0.5) * p * p
    return weight


@triton.jit  # type: ignore[untyped-decorator]
def _slope(fraction, m: tl.constexpr, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return slope m of `midframe.ops.resampling.shift_weight_slopes`."""
    p = fraction
    if extra == 1:
        slope = 0.0 * p - 1.0 if m == 0 else 0.0 * p + 1.0
    elif m == 0:
        slope = (2.0 - 1.5 * p) * p - 0.5
    elif m == 1:
        slope = (4.5 * p - 5.0) * p
    elif m == 2:
        slope = (4.0 - 4.5 * p) * p + 0.5
    else:
        slope = (1.5 * p - 1.0) * p
    return slope


@triton.jit  # type: ignore[untyped-decorator]
def _shifted_tap(  # type: ignore[no-untyped-def]
    kernel, first_tap, k, area, inside, fraction, taps: tl.constexpr, extra: tl.constexpr
):
    """Return tap k of kernels shifted by a fraction: sum_m weight_m(fraction) * kernel[k - m]."""
    total = _load_tap(kernel, first_tap, k, area, inside, taps) * _weight(fraction, 0, extra)
    for m in tl.static_range(1, extra + 1):
        total += _load_tap(kernel, first_tap, k - m, area, inside, taps) * _weight(
            fraction, m, extra
        )
    return total


@triton.jit  # type: ignore[untyped-decorator]
def pixel_under_tap(whole, k, size, taps: tl.constexpr, extra: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the row or column of a frame under tap k of a shifted kernel, clamped to the frame.

    Args:
        whole: the row or column that the flow leads to, rounded down.
        size: rows or columns of the frame.
    """
    position = whole + (k - taps // 2 - extra // 2)
    position = tl.where(position == position, position, 0.0)  # NaN must not address memory
    return tl.minimum(tl.maximum(position, 0.0), size - 1.0).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator]
def forward(  # type: ignore[no-untyped-def]
    frame, flow, vertical, horizontal, result, height, width, rows, columns, channels: tl.constexpr,
    taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
    channel_block: tl.constexpr,
):  # fmt: skip
    """Filter a block of pixels.

    Args:
        frame: (N, channels, rows, columns).
        flow: (N, 2, height, width).
        vertical, horizontal: (N, taps, height, width).
        result: (N, channels, height, width).
        extra: taps that shifting adds.
        tap_block, channel_block: `taps + extra` and `channels`, up to a power of two.
    """
    n, x, pixel, source_x, source_y = _follow_flow(flow, height, width, block)
    inside = x < width
    area = height * width
    first_tap = n * taps * area + pixel
    j = tl.arange(0, tap_block)[:, None]
    channel = tl.arange(0, channel_block)[:, None]
    fraction_x = (source_x - tl.floor(source_x))[None, :]
    tap_j = _shifted_tap(
        horizontal, first_tap[None, :], j, area, inside[None, :], fraction_x, taps, extra
    )  # (taps, pixels)
    column = pixel_under_tap(tl.floor(source_x[None, :]), j, columns, taps, extra)
    used = inside[None, :] & (j < taps + extra)
    total = tl.zeros((channel_block, block), tl.float32)
    for i in range(taps + extra):
        fraction_y = source_y - tl.floor(source_y)
        tap_i = _shifted_tap(vertical, first_tap, i, area, inside, fraction_y, taps, extra)
        row = pixel_under_tap(tl.floor(source_y), i, rows, taps, extra)
        line = frame + n * channels * rows * columns + row * columns
        for c in tl.static_range(channels):
            values = tl.load(line[None, :] + c * rows * columns + column, used, 0.0).to(tl.float32)
            filtered = tap_i * tl.sum(tap_j * values, axis=0)
            total += tl.where(channel == c, filtered[None, :], 0.0)
    valid = (channel < channels) & inside[None, :]
    tl.store(result + (n * channels + channel) * area + pixel[None, :], total, valid)


@triton.jit  # type: ignore[untyped-decorator]
def shifted_gradients(  # type: ignore[no-untyped-def]
    gradient, frame, flow, vertical, horizontal, grad_vertical, grad_horizontal, height, width,
    rows, columns, channels: tl.constexpr, taps: tl.constexpr, extra: tl.constexpr,
    tap_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of both shifted kernels.

    With value[i, j] = sum_c gradient[c] * frame[c, top + i, left + j] they are
    sum_j value[i, j] * shifted_horizontal[j] and sum_i value[i, j] * shifted_vertical[i].

    Args:
        gradient: (N, channels, height, width); other inputs as in `forward`.
        grad_vertical, grad_horizontal: (N, taps + extra, height, width) float32.
    """
    n, x, pixel, source_x, source_y = _follow_flow(flow, height, width, block)
    inside = x < width
    area = height * width
    first_tap = n * taps * area + pixel
    j = tl.arange(0, tap_block)[:, None]
    fraction_x = (source_x - tl.floor(source_x))[None, :]
    tap_j = _shifted_tap(
        horizontal, first_tap[None, :], j, area, inside[None, :], fraction_x, taps, extra
    )  # (taps, pixels)
    column = pixel_under_tap(tl.floor(source_x[None, :]), j, columns, taps, extra)
    used = inside[None, :] & (j < taps + extra)
    first_shifted_tap = n * (taps + extra) * area + pixel
    output = n * channels * area + pixel
    horizontal_sum = tl.zeros((tap_block, block), tl.float32)
    for i in range(taps + extra):
        row = pixel_under_tap(tl.floor(source_y), i, rows, taps, extra)
        line = frame + n * channels * rows * columns + row * columns
        value = tl.zeros((tap_block, block), tl.float32)
        for c in tl.static_range(channels):
            colour = tl.load(line[None, :] + c * rows * columns + column, used, 0.0).to(tl.float32)
            value += (
                colour * tl.load(gradient + output + c * area, inside, 0.0).to(tl.float32)[None, :]
            )
        tl.store(
            grad_vertical + first_shifted_tap + i * area, tl.sum(value * tap_j, axis=0), inside
        )
        fraction_y = source_y - tl.floor(source_y)
        tap_i = _shifted_tap(vertical, first_tap, i, area, inside, fraction_y, taps, extra)
        horizontal_sum += value * tap_i[None, :]
    tl.store(grad_horizontal + first_shifted_tap[None, :] + j * area, horizontal_sum, used)


@triton.jit  # type: ignore[untyped-decorator]
def split_gradients(  # type: ignore[no-untyped-def]
    grad_shifted_vertical, grad_shifted_horizontal, flow, vertical, horizontal, grad_flow,
    grad_vertical, grad_horizontal, height, width,
    taps: tl.constexpr, extra: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Convert the gradients of the shifted kernels to those of the flow and of the kernels."""
    n, x, pixel, source_x, source_y = _follow_flow(flow, height, width, block)
    inside = x < width
    area = height * width
    offset = n * 2 * area + pixel
    grad_x = _split_axis(
        grad_shifted_horizontal, horizontal, grad_horizontal, source_x, n, pixel, area, inside,
        taps, extra,
    )  # fmt: skip
    tl.store(grad_flow + offset, grad_x, inside)
    grad_y = _split_axis(
        grad_shifted_vertical, vertical, grad_vertical, source_y, n, pixel, area, inside,
        taps, extra,
    )  # fmt: skip
    tl.store(grad_flow + offset + area, grad_y, inside)


@triton.jit  # type: ignore[untyped-decorator]
def _split_axis(  # type: ignore[no-untyped-def]
    grad_shifted,
    kernel,
    grad_kernel,
    position,
    n,
    pixel,
    area,
    inside,
    taps: tl.constexpr,
    extra: tl.constexpr,
):
    """Store the gradient of the kernel along one axis; return that of the flow along it.

    grad_kernel[k] = sum_m grad_shifted[k + m] * weight_m(fraction)
    grad_flow = sum_km grad_shifted[k + m] * kernel[k] * slope_m(fraction)
    """
    fraction = position - tl.floor(position)
    first_tap = n * taps * area + pixel
    first_shifted_tap = n * (taps + extra) * area + pixel
    grad_fraction = 0.0 * fraction
    for k in range(taps):
        tap = tl.load(kernel + first_tap + k * area, inside, 0.0).to(tl.float32)
        grad_tap = 0.0 * fraction
        for m in tl.static_range(extra + 1):
            value = tl.load(grad_shifted + first_shifted_tap + (k + m) * area, inside, 0.0)
            grad_tap += value * _weight(fraction, m, extra)
            grad_fraction += value * tap * _slope(fraction, m, extra)
        tl.store(grad_kernel + first_tap + k * area, grad_tap, inside)
    return grad_fraction


@triton.jit  # type: ignore[untyped-decorator]
def frame_gradient(  # type: ignore[no-untyped-def]
    gradient, flow, vertical, horizontal, result, height, width, rows, columns,
    channels: tl.constexpr,
    taps: tl.constexpr, extra: tl.constexpr, tap_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Add the gradient of a block of pixels, times their shifted kernels, to the pixels of the
    frame (N, channels, rows, columns) under these; float32, zeros before."""
    n, x, pixel, source_x, source_y = _follow_flow(flow, height, width, block)
    inside = x < width
    area = height * width
    first_tap = n * taps * area + pixel
    j = tl.arange(0, tap_block)[:, None]
    fraction_x = (source_x - tl.floor(source_x))[None, :]
    tap_j = _shifted_tap(
        horizontal, first_tap[None, :], j, area, inside[None, :], fraction_x, taps, extra
    )  # (taps, pixels)
    column = pixel_under_tap(tl.floor(source_x[None, :]), j, columns, taps, extra)
    used = inside[None, :] & (j < taps + extra)
    for i in range(taps + extra):
        fraction_y = source_y - tl.floor(source_y)
        tap_i = _shifted_tap(vertical, first_tap, i, area, inside, fraction_y, taps, extra)
        row = pixel_under_tap(tl.floor(source_y), i, rows, taps, extra)
        line = result + n * channels * rows * columns + row * columns
        for c in tl.static_range(channels):
            grad_output = tl.load(gradient + (n * channels + c) * area + pixel, inside, 0.0).to(
                tl.float32
            )
            tl.atomic_add(
                line[None, :] + c * rows * columns + column,
                (grad_output * tap_i)[None, :] * tap_j,
                used,
            )
