"""The Triton kernels of the gradients of the decoder's input; `triton.py` launches them.

Arguments are as in `triton_kernels.py`; `gradient` is that of the result.
"""

import triton
import triton.language as tl

from midframe.models.flowsep.steps.decoder_input.triton_kernels import (
    SIZES,
    locate_source,
    pixel_offset,
    window_pixels,
)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def gradients(  # type: ignore[no-untyped-def]
    gradient, features, flow, result, scales, grad_features, grad_flow, samples, height, width,
    total: tl.constexpr, radius: tl.constexpr, channels: tl.constexpr, flow_offset: tl.constexpr,
    gain: tl.constexpr, min_length: tl.constexpr, channel_block: tl.constexpr,
    window: tl.constexpr, block: tl.constexpr, precision: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of the features and the flow of one frame (program axis 2: side).

    Args:
        grad_features: like `features`, float32, zeros before; added to.
        grad_flow: like `flow`.
    """
    side = tl.program_id(2)
    line = tl.program_id(0)
    x = tl.program_id(1) * block + tl.arange(0, block)
    y = line % height
    valid = x < width
    area = height * width
    own = line.to(tl.int64) * width + x
    channel = tl.arange(0, channel_block)[None, :]
    used = valid[:, None] & (channel < channels)
    grad_warped = tl.load(
        gradient + (own * total + side * channels)[:, None] + channel, used, 0.0
    ).to(tl.float32)
    if radius > 0:
        grad_warped += _correlation_gradient(
            gradient, result, scales, side, line, x, own, samples, height, width, channel, used,
            total, radius,
            channels, gain, min_length, channel_block, window, block, precision, upcast,
        )  # fmt: skip
    n = (line // height).to(tl.int64)
    pixel = y * width + x
    left, top, fraction_x, fraction_y, inside_x, inside_y = locate_source(
        flow, side, n, pixel, height, width, valid
    )
    right, below = tl.minimum(left + 1, width - 1), tl.minimum(top + 1, height - 1)
    image = (side * samples + n) * area
    # a, b, c, d: the pixels top left, top right, bottom left and bottom right of the position
    a = pixel_offset(image, top, left, width, channels) + channel
    b = pixel_offset(image, top, right, width, channels) + channel
    c = pixel_offset(image, below, left, width, channels) + channel
    d = pixel_offset(image, below, right, width, channels) + channel
    dot_a = tl.sum(grad_warped * tl.load(features + a, used, 0.0).to(tl.float32), axis=1)
    dot_b = tl.sum(grad_warped * tl.load(features + b, used, 0.0).to(tl.float32), axis=1)
    dot_c = tl.sum(grad_warped * tl.load(features + c, used, 0.0).to(tl.float32), axis=1)
    dot_d = tl.sum(grad_warped * tl.load(features + d, used, 0.0).to(tl.float32), axis=1)
    direct = gradient + own * total + flow_offset + 2 * side  # the flow is an output too
    grad_x = inside_x * ((dot_b - dot_a) * (1 - fraction_y) + (dot_d - dot_c) * fraction_y)
    grad_x += tl.load(direct, valid, 0.0).to(tl.float32)
    grad_y = inside_y * ((dot_c - dot_a) * (1 - fraction_x) + (dot_d - dot_b) * fraction_x)
    grad_y += tl.load(direct + 1, valid, 0.0).to(tl.float32)
    flow_x = grad_flow + (n * 4 + 2 * side) * area + pixel
    tl.store(flow_x, grad_x, valid)
    tl.store(flow_x + area, grad_y, valid)
    wx, wy = fraction_x[:, None], fraction_y[:, None]
    tl.atomic_add(grad_features + a, grad_warped * ((1 - wx) * (1 - wy)), used, sem="relaxed")
    tl.atomic_add(grad_features + b, grad_warped * (wx * (1 - wy)), used, sem="relaxed")
    tl.atomic_add(grad_features + c, grad_warped * ((1 - wx) * wy), used, sem="relaxed")
    tl.atomic_add(grad_features + d, grad_warped * (wx * wy), used, sem="relaxed")


@triton.jit  # type: ignore[untyped-decorator]
def _correlation_gradient(  # type: ignore[no-untyped-def]
    gradient, result, scales, side, line, x, own, samples, height, width, channel, used,
    total: tl.constexpr, radius: tl.constexpr, channels: tl.constexpr, gain: tl.constexpr,
    min_length: tl.constexpr,
    channel_block: tl.constexpr, window: tl.constexpr, block: tl.constexpr, precision: tl.constexpr,
    upcast: tl.constexpr,
):  # fmt: skip
    """Return the gradient of the warped features of one frame from the correlation.

    With w of length l, the unit vectors u = w / l, and the sum s over displacements of the
    gradient of the correlation times the other frame's u, it is gain * (s - u (u . s)) / l.
    """
    y = line % height
    valid = x < width
    frame = samples.to(tl.int64) * height * width
    sign = 1 - 2 * side  # displacements are from the first to the second frame
    grad_unit = tl.zeros((block, channel_block), tl.float32)
    for start in range(0, (2 * radius + 1) * (block + 2 * radius), window):
        down, column, inside = window_pixels(start, y, height, width, radius, window, block)
        other = (line + down).to(tl.int64) * width + column
        right = (column[None, :] - x[:, None]) * sign
        kept = valid[:, None] & inside[None, :] & (right >= -radius) & (right <= radius)
        first = tl.where(side == 0, own[:, None], other[None, :])  # the pixel of the first frame
        output = (
            first * total
            + 2 * channels
            + (down * sign + radius)[None, :] * (2 * radius + 1)
            + right
            + radius
        )
        grad_product = tl.load(gradient + output, kept, 0.0)  # (pixels, window)
        other_features = result + (other * total + (1 - side) * channels)[:, None] + channel
        around = tl.load(other_features, inside[:, None] & (channel < channels), 0.0)
        around = around.to(tl.float32)
        around *= tl.load(scales + (1 - side) * frame + other, inside, 0.0)[:, None]
        if upcast:
            grad_product = grad_product.to(tl.float32)
        else:
            around = around.to(result.dtype.element_ty)
        grad_unit = tl.dot(grad_product, around, grad_unit, input_precision=precision)
    scale = tl.load(scales + side * frame + own, valid, 0.0)[:, None]
    own_features = result + (own * total + side * channels)[:, None] + channel
    unit = tl.load(own_features, used, 0.0).to(tl.float32) * scale
    along = tl.sum(grad_unit * unit, axis=1)[:, None]
    # Features shorter than `min_length` are not divided by their length, so the gradient along
    # them stays; 0.999 for rounding.
    grad_unit -= tl.where(scale < 0.999 / min_length, unit * along, 0.0)
    return grad_unit * scale * gain


@triton.jit
def _upsampling_weight(position, size, step):  # type: ignore[no-untyped-def]
    """Return the weight of value `position` of a row of `size` in value `2 * position - 1 + step`
    of the row upsampled by 2: 1/4, 3/4, 3/4, 1/4 for steps 0 to 3. At either end of the row the
    outer two are 0 and 1."""
    near = (step == 1) | (step == 2)
    edge = ((step < 2) & (position == 0)) | ((step >= 2) & (position == size - 1))
    return tl.where(near, tl.where(edge, 1.0, 0.75), tl.where(edge, 0.0, 0.25))


@triton.jit(do_not_specialize=[*SIZES, "step"])  # type: ignore[untyped-decorator]
def carried_gradient(  # type: ignore[no-untyped-def]
    gradient, result, samples, height, width, step,
    total: tl.constexpr, offset: tl.constexpr, depth: tl.constexpr, channel_block: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of the carried features: for each value, that of the 4x4 values which
    were upsampled from it.

    Args:
        gradient: (N, 2 height, 2 width, total).
        result: (N, height, width, depth).
        step: `depth`, in elements.
    """
    if offset % 8 == 0:
        step = depth
    # The step is not a compile-time constant otherwise: vectorised stores of several channels per
    # thread would distribute the unaligned loads over the threads in the same way, several times
    # slower.
    index = tl.program_id(0) * block + tl.arange(0, block)
    area = height * width
    valid = index < samples * area
    channel = tl.arange(0, channel_block)[None, :]
    used = valid[:, None] & (channel < depth)
    n = (index // area).to(tl.int64)
    y = index % area // width
    x = index % width
    value = tl.zeros((block, channel_block), tl.float32)
    for i in range(4):  # not unrolled: too many loads for the registers
        for j in tl.static_range(4):
            weight = (_upsampling_weight(y, height, i) * _upsampling_weight(x, width, j))[:, None]
            row = n * 2 * height + 2 * y - 1 + i
            source = (row * (2 * width) + 2 * x - 1 + j) * total + offset
            inside = used & (weight > 0)
            grad_output = tl.load(gradient + source[:, None] + channel, inside, 0.0)
            value += weight * grad_output.to(tl.float32)
    tl.store(
        result + (index.to(tl.int64) * step)[:, None] + channel,
        value.to(result.dtype.element_ty),
        used,
    )
