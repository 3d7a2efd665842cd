"""The Triton kernels of the decoder's input; `triton.py` launches them."""

import triton
import triton.language as tl

from midframe.ops.triton_tools import replace_nan

SIZES = ["samples", "height", "width"]
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


@triton.jit
def _source(flow, side, n, place, height, width, valid):  # type: ignore[no-untyped-def]
    """Return the position of a flow: the upper left pixel, the fractions beyond it, and whether
    each depends on the flow.

    Coordinates are clamped to the image, with zero gradient outside, as `grid_sample` does with
    padding_mode="border".
    """
    at = flow + (n * 4 + 2 * side) * height * width + place
    right = replace_nan(place % width + tl.load(at, valid, 0.0))
    down = replace_nan(place // width + tl.load(at + height * width, valid, 0.0))
    x = tl.minimum(tl.maximum(right, 0.0), width - 1.0)
    y = tl.minimum(tl.maximum(down, 0.0), height - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    inside_x = ((right > 0) & (right < width - 1)).to(tl.float32)
    inside_y = ((down > 0) & (down < height - 1)).to(tl.float32)
    return left.to(tl.int32), top.to(tl.int32), x - left, y - top, inside_x, inside_y


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def warp(  # type: ignore[no-untyped-def]
    features, flow, result, scales, samples, height, width,
    total: tl.constexpr, channels: tl.constexpr, min_length: tl.constexpr,
    channel_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Warp the features of one frame (program axis 1: first, second) along the flow to it."""
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    side = tl.program_id(1)
    area = height * width
    valid = pixel < samples * area
    n = (pixel // area).to(tl.int64)
    channel = tl.arange(0, channel_block)[None, :]
    used = valid[:, None] & (channel < channels)
    left, top, px, py, _, _ = _source(flow, side, n, pixel % area, height, width, valid)
    right, below = tl.minimum(left + 1, width - 1), tl.minimum(top + 1, height - 1)
    frame = (side * samples + n) * area
    px, py = px[:, None], py[:, None]
    at = features + ((frame + top * width + left) * channels)[:, None] + channel
    upper = tl.load(at, used, 0.0).to(tl.float32) * (1 - px)
    at = features + ((frame + top * width + right) * channels)[:, None] + channel
    upper += tl.load(at, used, 0.0).to(tl.float32) * px
    at = features + ((frame + below * width + left) * channels)[:, None] + channel
    lower = tl.load(at, used, 0.0).to(tl.float32) * (1 - px)
    at = features + ((frame + below * width + right) * channels)[:, None] + channel
    lower += tl.load(at, used, 0.0).to(tl.float32) * px
    value = (upper * (1 - py) + lower * py).to(result.dtype.element_ty)
    at = result + (pixel.to(tl.int64) * total + side * channels)[:, None] + channel
    tl.store(at, value, used)
    if min_length > 0:
        value = value.to(tl.float32)
        length = tl.maximum(tl.sqrt(tl.sum(value * value, axis=1)), min_length)
        tl.store(scales + side * samples * area + pixel, 1 / length, valid)


@triton.jit  # type: ignore[untyped-decorator]
def _window(  # type: ignore[no-untyped-def]
    start, y, height, width, radius: tl.constexpr, window: tl.constexpr, block: tl.constexpr
):
    """Return pixels around those of a program: their vertical displacement, their column, and
    whether they are in the image.

    They are counted row by row, from the one a radius above and to the left of the program's first.
    """
    wide: tl.constexpr = block + 2 * radius
    place = start + tl.arange(0, window)
    down = place // wide - radius
    column = tl.program_id(1) * block + place % wide - radius
    inside = (place < (2 * radius + 1) * wide) & (column >= 0) & (column < width)
    return down, column, inside & (y + down >= 0) & (y + down < height)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def correlate(  # type: ignore[no-untyped-def]
    result, scales, samples, height, width,
    total: tl.constexpr, radius: tl.constexpr, channels: tl.constexpr, gain: tl.constexpr,
    chunk: tl.constexpr, window: tl.constexpr, block: tl.constexpr, precision: tl.constexpr,
    upcast: tl.constexpr,
):  # fmt: skip
    """Correlate the warped features of a block of pixels with those around them in the other
    frame."""
    diameter: tl.constexpr = 2 * radius + 1
    line = tl.program_id(0)
    x = tl.program_id(1) * block + tl.arange(0, block)
    y = line % height
    valid = x < width
    own = line.to(tl.int64) * width + x
    length = tl.load(scales + own, valid, 0.0) * gain
    others = scales + samples.to(tl.int64) * height * width
    for start in range(0, diameter * (block + 2 * radius), window):
        down, column, inside = _window(start, y, height, width, radius, window, block)
        other = (line + down).to(tl.int64) * width + column
        product = tl.zeros((block, window), tl.float32)
        for first in tl.static_range(0, channels, chunk):
            channel = first + tl.arange(0, chunk)[None, :]
            used = channel < channels
            one = tl.load(result + own[:, None] * total + channel, valid[:, None] & used, 0.0)
            two = tl.load(
                result + other[:, None] * total + channels + channel, inside[:, None] & used, 0.0
            )
            if upcast:
                one, two = one.to(tl.float32), two.to(tl.float32)
            product = tl.dot(
                one, tl.trans(two), product, input_precision=precision
            )  # (pixels, pixels around them)
        product *= length[:, None] * tl.load(others + other, inside, 0.0)[None, :]
        right = column[None, :] - x[:, None]
        kept = valid[:, None] & (down <= radius)[None, :] & (right >= -radius) & (right <= radius)
        displacement = (down[None, :] + radius) * diameter + right + radius
        at = own[:, None] * total + 2 * channels + displacement
        tl.store(result + at, product.to(result.dtype.element_ty), kept)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def fill(  # type: ignore[no-untyped-def]
    carried, flow, t, result, samples, height, width,
    total: tl.constexpr, offset: tl.constexpr, depth: tl.constexpr, channel_block: tl.constexpr,
    tail: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Write the carried features, upsampled, then the flow, t and zeros."""
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    area = height * width
    valid = pixel < samples * area
    n = (pixel // area).to(tl.int64)
    place = pixel % area
    to = result + (pixel.to(tl.int64) * total + offset)[:, None]
    if depth > 0:
        channel = tl.arange(0, channel_block)[None, :]
        used = valid[:, None] & (channel < depth)
        rows, columns = height // 2, width // 2
        down, across = (place // width) * 0.5 - 0.25, (place % width) * 0.5 - 0.25
        down, across = tl.maximum(down, 0.0), tl.maximum(across, 0.0)
        top, left = tl.floor(down).to(tl.int32), tl.floor(across).to(tl.int32)
        below, right = tl.minimum(top + 1, rows - 1), tl.minimum(left + 1, columns - 1)
        py, px = (down - top)[:, None], (across - left)[:, None]
        upper, lower = (n * rows + top) * columns, (n * rows + below) * columns
        value = tl.load(carried + ((upper + left) * depth)[:, None] + channel, used, 0.0).to(
            tl.float32
        ) * (1 - px)
        value += (
            tl.load(carried + ((upper + right) * depth)[:, None] + channel, used, 0.0).to(
                tl.float32
            )
            * px
        )
        under = tl.load(carried + ((lower + left) * depth)[:, None] + channel, used, 0.0).to(
            tl.float32
        ) * (1 - px)
        under += (
            tl.load(carried + ((lower + right) * depth)[:, None] + channel, used, 0.0).to(
                tl.float32
            )
            * px
        )
        tl.store(to + channel, (value * (1 - py) + under * py).to(result.dtype.element_ty), used)
    channel = tl.arange(0, tail)[None, :]
    value = tl.load(
        flow + (n * 4 * area + place)[:, None] + channel * area, valid[:, None] & (channel < 4), 0.0
    )
    value += tl.load(t + n[:, None] + 0 * channel, valid[:, None] & (channel == 4), 0.0)
    kept = valid[:, None] & (channel < total - offset - depth)
    tl.store(to + depth + channel, value.to(result.dtype.element_ty), kept)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def gradients(  # type: ignore[no-untyped-def]
    gradient, features, flow, result, scales, grad_features, grad_flow, samples, height, width,
    total: tl.constexpr, radius: tl.constexpr, channels: tl.constexpr, flow_offset: tl.constexpr,
    gain: tl.constexpr, min_length: tl.constexpr, channel_block: tl.constexpr,
    window: tl.constexpr, block: tl.constexpr, precision: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of the features and the flow of one frame (program axis 2: first,
    second)."""
    side = tl.program_id(2)
    line = tl.program_id(0)
    x = tl.program_id(1) * block + tl.arange(0, block)
    y = line % height
    valid = x < width
    area = height * width
    own = line.to(tl.int64) * width + x
    channel = tl.arange(0, channel_block)[None, :]
    used = valid[:, None] & (channel < channels)
    grad_output = tl.load(
        gradient + (own * total + side * channels)[:, None] + channel, used, 0.0
    ).to(tl.float32)
    if radius > 0:
        grad_output += _correlation_gradient(
            gradient, result, scales, side, line, x, own, samples, height, width, channel, used,
            total, radius,
            channels, gain, min_length, channel_block, window, block, precision, upcast,
        )  # fmt: skip
    n = (line // height).to(tl.int64)
    place = y * width + x
    left, top, px, py, inside_x, inside_y = _source(flow, side, n, place, height, width, valid)
    right, below = tl.minimum(left + 1, width - 1), tl.minimum(top + 1, height - 1)
    frame = (side * samples + n) * area
    # a, b, c, d: the pixels above left, above right, below left and below right of the position
    a = ((frame + top * width + left) * channels)[:, None] + channel
    b = ((frame + top * width + right) * channels)[:, None] + channel
    c = ((frame + below * width + left) * channels)[:, None] + channel
    d = ((frame + below * width + right) * channels)[:, None] + channel
    grad_a = tl.sum(grad_output * tl.load(features + a, used, 0.0).to(tl.float32), axis=1)
    grad_b = tl.sum(grad_output * tl.load(features + b, used, 0.0).to(tl.float32), axis=1)
    grad_c = tl.sum(grad_output * tl.load(features + c, used, 0.0).to(tl.float32), axis=1)
    grad_d = tl.sum(grad_output * tl.load(features + d, used, 0.0).to(tl.float32), axis=1)
    direct = gradient + own * total + flow_offset + 2 * side
    grad_x = inside_x * ((grad_b - grad_a) * (1 - py) + (grad_d - grad_c) * py) + tl.load(
        direct, valid, 0.0
    ).to(tl.float32)
    grad_y = inside_y * ((grad_c - grad_a) * (1 - px) + (grad_d - grad_b) * px) + tl.load(
        direct + 1, valid, 0.0
    ).to(tl.float32)
    at = grad_flow + (n * 4 + 2 * side) * area + place
    tl.store(at, grad_x, valid)
    tl.store(at + area, grad_y, valid)
    px, py = px[:, None], py[:, None]
    tl.atomic_add(grad_features + a, grad_output * ((1 - px) * (1 - py)), used, sem="relaxed")
    tl.atomic_add(grad_features + b, grad_output * (px * (1 - py)), used, sem="relaxed")
    tl.atomic_add(grad_features + c, grad_output * ((1 - px) * py), used, sem="relaxed")
    tl.atomic_add(grad_features + d, grad_output * (px * py), used, sem="relaxed")


@triton.jit  # type: ignore[untyped-decorator]
def _correlation_gradient(  # type: ignore[no-untyped-def]
    gradient, result, scales, side, line, x, own, samples, height, width, channel, used,
    total: tl.constexpr, radius: tl.constexpr, channels: tl.constexpr, gain: tl.constexpr,
    min_length: tl.constexpr,
    channel_block: tl.constexpr, window: tl.constexpr, block: tl.constexpr, precision: tl.constexpr,
    upcast: tl.constexpr,
):  # fmt: skip
    """Return the gradient of the warped features of the first (side 0) or second frame (1) from the
    correlation."""
    y = line % height
    valid = x < width
    frame = samples.to(tl.int64) * height * width
    sign = 1 - 2 * side  # displacements are from the first to the second frame
    total_gradient = tl.zeros((block, channel_block), tl.float32)
    for start in range(0, (2 * radius + 1) * (block + 2 * radius), window):
        down, column, inside = _window(start, y, height, width, radius, window, block)
        other = (line + down).to(tl.int64) * width + column
        right = (column[None, :] - x[:, None]) * sign
        kept = valid[:, None] & inside[None, :] & (right >= -radius) & (right <= radius)
        first = tl.where(side == 0, own[:, None], other[None, :])  # the pixel of the first frame
        at = (
            first * total
            + 2 * channels
            + (down * sign + radius)[None, :] * (2 * radius + 1)
            + right
            + radius
        )
        grad_output = tl.load(gradient + at, kept, 0.0)  # (pixels, pixels around them)
        at = result + (other * total + (1 - side) * channels)[:, None] + channel
        around = tl.load(at, inside[:, None] & (channel < channels), 0.0).to(tl.float32)
        around *= tl.load(scales + (1 - side) * frame + other, inside, 0.0)[:, None]
        if upcast:
            grad_output = grad_output.to(tl.float32)
        else:
            around = around.to(result.dtype.element_ty)
        total_gradient = tl.dot(grad_output, around, total_gradient, input_precision=precision)
    scale = tl.load(scales + side * frame + own, valid, 0.0)[:, None]
    unit = (
        tl.load(result + (own * total + side * channels)[:, None] + channel, used, 0.0).to(
            tl.float32
        )
        * scale
    )
    along = tl.sum(total_gradient * unit, axis=1)[:, None]
    # The length of shorter features is not divided by, so their gradient along them stays.
    total_gradient -= tl.where(scale < 0.999 / min_length, unit * along, 0.0)
    return total_gradient * scale * gain


@triton.jit
def _weight(at, size, place):  # type: ignore[no-untyped-def]
    """Return the weight of a value in the one at `2 * at - 1 + place` of the row upsampled by 2."""
    near = (place == 1) | (place == 2)
    edge = ((place < 2) & (at == 0)) | ((place >= 2) & (at == size - 1))
    return tl.where(near, tl.where(edge, 1.0, 0.75), tl.where(edge, 0.0, 0.25))


@triton.jit(do_not_specialize=[*SIZES, "step"])  # type: ignore[untyped-decorator]
def carried_gradient(  # type: ignore[no-untyped-def]
    gradient, result, samples, height, width, step,
    total: tl.constexpr, offset: tl.constexpr, depth: tl.constexpr, channel_block: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    if offset % 8 == 0:
        step = depth
    # The step is not a compile-time constant otherwise: vectorised stores of several channels per
    # thread would distribute the unaligned loads over the threads in the same way, several times
    # slower.
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    area = height * width
    valid = pixel < samples * area
    channel = tl.arange(0, channel_block)[None, :]
    used = valid[:, None] & (channel < depth)
    n = (pixel // area).to(tl.int64)
    y = pixel % area // width
    x = pixel % width
    value = tl.zeros((block, channel_block), tl.float32)
    for i in range(4):  # not unrolled: too many loads for the registers
        for j in tl.static_range(4):
            weight = (_weight(y, height, i) * _weight(x, width, j))[:, None]
            at = ((n * 2 * height + 2 * y - 1 + i) * (2 * width) + 2 * x - 1 + j) * total + offset
            there = used & (weight > 0)
            value += weight * tl.load(gradient + at[:, None] + channel, there, 0.0).to(tl.float32)
    tl.store(
        result + (pixel.to(tl.int64) * step)[:, None] + channel,
        value.to(result.dtype.element_ty),
        used,
    )
