"""The Triton kernels of the decoder's input, forward; `triton.py` launches them.

Arguments that several kernels share, also those of the gradients (`triton_gradients.py`):

- features: of both frames, (2N, h, w, channels): first frames, then second ones.
- result: the decoder's input, (N, h, w, total): warped features of the first and of the second
  frame, correlation, carried features, flow, t, zeros. `offset` is the channel of the carried
  features, `flow_offset` that of the flow.
- scales: the factors that normalise the warped features to length 1, (2, N, h, w) float32.
- flow: (N, 4, h, w) float32, to the first and to the second frame.
- side: the frame, 0 for the first, 1 for the second.

`index` is the offset of a pixel in (N, h, w).
"""

import triton
import triton.language as tl

from midframe.ops.triton_tools import replace_nan

SIZES = ["samples", "height", "width"]
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


@triton.jit
def locate_source(flow, side, n, pixel, height, width, valid):  # type: ignore[no-untyped-def]
    """Return where the flow of pixels leads: the top left pixel, the fractions beyond it, and
    whether each coordinate depends on the flow (1.0 or 0.0).

    Coordinates are clamped to the image, with zero gradient outside, as `grid_sample` does with
    padding_mode="border".
    """
    flow_x = flow + (n * 4 + 2 * side) * height * width + pixel
    source_x = replace_nan(pixel % width + tl.load(flow_x, valid, 0.0))
    source_y = replace_nan(pixel // width + tl.load(flow_x + height * width, valid, 0.0))
    x = tl.minimum(tl.maximum(source_x, 0.0), width - 1.0)
    y = tl.minimum(tl.maximum(source_y, 0.0), height - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    inside_x = ((source_x > 0) & (source_x < width - 1)).to(tl.float32)
    inside_y = ((source_y > 0) & (source_y < height - 1)).to(tl.float32)
    return left.to(tl.int32), top.to(tl.int32), x - left, y - top, inside_x, inside_y


@triton.jit
def pixel_offset(image, y, x, width, channels):  # type: ignore[no-untyped-def]
    """Return the offsets of the first channel of pixels (y, x), (pixels, 1); `image` is the index
    of the first pixel of their image."""
    return ((image + y * width + x) * channels)[:, None]


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def warp(  # type: ignore[no-untyped-def]
    features, flow, result, scales, samples, height, width,
    total: tl.constexpr, channels: tl.constexpr, min_length: tl.constexpr,
    channel_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Warp the features of one frame (program axis 1: side) along the flow to it; store their
    scales if `min_length` is above 0."""
    index = tl.program_id(0) * block + tl.arange(0, block)
    side = tl.program_id(1)
    area = height * width
    valid = index < samples * area
    n = (index // area).to(tl.int64)
    channel = tl.arange(0, channel_block)[None, :]
    used = valid[:, None] & (channel < channels)
    left, top, fraction_x, fraction_y, _, _ = locate_source(
        flow, side, n, index % area, height, width, valid
    )
    right, below = tl.minimum(left + 1, width - 1), tl.minimum(top + 1, height - 1)
    image = (side * samples + n) * area
    fraction_x, fraction_y = fraction_x[:, None], fraction_y[:, None]
    corner = features + pixel_offset(image, top, left, width, channels) + channel
    upper = tl.load(corner, used, 0.0).to(tl.float32) * (1 - fraction_x)
    corner = features + pixel_offset(image, top, right, width, channels) + channel
    upper += tl.load(corner, used, 0.0).to(tl.float32) * fraction_x
    corner = features + pixel_offset(image, below, left, width, channels) + channel
    lower = tl.load(corner, used, 0.0).to(tl.float32) * (1 - fraction_x)
    corner = features + pixel_offset(image, below, right, width, channels) + channel
    lower += tl.load(corner, used, 0.0).to(tl.float32) * fraction_x
    value = (upper * (1 - fraction_y) + lower * fraction_y).to(result.dtype.element_ty)
    output = result + (index.to(tl.int64) * total + side * channels)[:, None] + channel
    tl.store(output, value, used)
    if min_length > 0:
        value = value.to(tl.float32)
        length = tl.maximum(tl.sqrt(tl.sum(value * value, axis=1)), min_length)
        tl.store(scales + side * samples * area + index, 1 / length, valid)


@triton.jit  # type: ignore[untyped-decorator]
def window_pixels(  # type: ignore[no-untyped-def]
    start, y, height, width, radius: tl.constexpr, window: tl.constexpr, block: tl.constexpr
):
    """Return a window of the pixels around those of a program: their vertical displacement, their
    column, and whether they are in the image.

    The pixels around are a rectangle, 2 radius + 1 rows of block + 2 radius columns, counted row by
    row; the window has `window` of them from `start` on.
    """
    row_length: tl.constexpr = block + 2 * radius
    cell = start + tl.arange(0, window)  # of the rectangle
    down = cell // row_length - radius
    column = tl.program_id(1) * block + cell % row_length - radius
    inside = (cell < (2 * radius + 1) * row_length) & (column >= 0) & (column < width)
    return down, column, inside & (y + down >= 0) & (y + down < height)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def correlate(  # type: ignore[no-untyped-def]
    result, scales, samples, height, width,
    total: tl.constexpr, radius: tl.constexpr, channels: tl.constexpr, gain: tl.constexpr,
    chunk: tl.constexpr, window: tl.constexpr, block: tl.constexpr, precision: tl.constexpr,
    upcast: tl.constexpr,
):  # fmt: skip
    """Correlate the warped features of a block of pixels with those around them in the other
    frame, normalised to length 1 (`midframe.ops.local_correlation`), times `gain`.

    Program axes: row of a sample, block of its columns.
    """
    diameter: tl.constexpr = 2 * radius + 1
    line = tl.program_id(0)
    x = tl.program_id(1) * block + tl.arange(0, block)
    y = line % height
    valid = x < width
    own = line.to(tl.int64) * width + x
    first_scale = tl.load(scales + own, valid, 0.0) * gain
    second_scales = scales + samples.to(tl.int64) * height * width
    for start in range(0, diameter * (block + 2 * radius), window):
        down, column, inside = window_pixels(start, y, height, width, radius, window, block)
        other = (line + down).to(tl.int64) * width + column
        product = tl.zeros((block, window), tl.float32)
        for first_channel in tl.static_range(0, channels, chunk):
            channel = first_channel + tl.arange(0, chunk)[None, :]
            used = channel < channels
            first = tl.load(result + own[:, None] * total + channel, valid[:, None] & used, 0.0)
            second = tl.load(
                result + other[:, None] * total + channels + channel, inside[:, None] & used, 0.0
            )
            if upcast:
                first, second = first.to(tl.float32), second.to(tl.float32)
            product = tl.dot(
                first, tl.trans(second), product, input_precision=precision
            )  # (pixels, window)
        product *= first_scale[:, None] * tl.load(second_scales + other, inside, 0.0)[None, :]
        right = column[None, :] - x[:, None]
        kept = valid[:, None] & (down <= radius)[None, :] & (right >= -radius) & (right <= radius)
        displacement = (down[None, :] + radius) * diameter + right + radius
        output = own[:, None] * total + 2 * channels + displacement
        tl.store(result + output, product.to(result.dtype.element_ty), kept)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def fill(  # type: ignore[no-untyped-def]
    carried, flow, t, result, samples, height, width,
    total: tl.constexpr, offset: tl.constexpr, depth: tl.constexpr, channel_block: tl.constexpr,
    tail: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Write the carried features (N, h/2, w/2, depth), upsampled, then the flow, t (N,) and zeros:
    the last `tail` channels, a power of two at least their number."""
    index = tl.program_id(0) * block + tl.arange(0, block)
    area = height * width
    valid = index < samples * area
    n = (index // area).to(tl.int64)
    pixel = index % area
    output = result + (index.to(tl.int64) * total + offset)[:, None]
    if depth > 0:
        channel = tl.arange(0, channel_block)[None, :]
        used = valid[:, None] & (channel < depth)
        rows, columns = height // 2, width // 2
        # pixel p of the upsampled image lies at (p + 0.5) / 2 - 0.5 of the small one
        small_y, small_x = (pixel // width) * 0.5 - 0.25, (pixel % width) * 0.5 - 0.25
        small_y, small_x = tl.maximum(small_y, 0.0), tl.maximum(small_x, 0.0)
        top, left = tl.floor(small_y).to(tl.int32), tl.floor(small_x).to(tl.int32)
        below, right = tl.minimum(top + 1, rows - 1), tl.minimum(left + 1, columns - 1)
        fraction_y, fraction_x = (small_y - top)[:, None], (small_x - left)[:, None]
        top_row, bottom_row = (n * rows + top) * columns, (n * rows + below) * columns
        corner = carried + ((top_row + left) * depth)[:, None] + channel
        upper = tl.load(corner, used, 0.0).to(tl.float32) * (1 - fraction_x)
        corner = carried + ((top_row + right) * depth)[:, None] + channel
        upper += tl.load(corner, used, 0.0).to(tl.float32) * fraction_x
        corner = carried + ((bottom_row + left) * depth)[:, None] + channel
        lower = tl.load(corner, used, 0.0).to(tl.float32) * (1 - fraction_x)
        corner = carried + ((bottom_row + right) * depth)[:, None] + channel
        lower += tl.load(corner, used, 0.0).to(tl.float32) * fraction_x
        value = upper * (1 - fraction_y) + lower * fraction_y
        tl.store(output + channel, value.to(result.dtype.element_ty), used)
    channel = tl.arange(0, tail)[None, :]  # 0 to 3: the flow; 4: t; then zeros
    value = tl.load(
        flow + (n * 4 * area + pixel)[:, None] + channel * area, valid[:, None] & (channel < 4), 0.0
    )
    value += tl.load(t + n[:, None] + 0 * channel, valid[:, None] & (channel == 4), 0.0)
    kept = valid[:, None] & (channel < total - offset - depth)
    tl.store(output + depth + channel, value.to(result.dtype.element_ty), kept)
