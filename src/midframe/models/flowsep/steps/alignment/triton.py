"""The alignment of both frames on CUDA, without gradients, as two Triton kernels: the values of
each pixel, then the means of the values around it."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.steps.alignment.reference import AREA, MEASURES
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import bilinear_corners, block_pixels, sample_bilinear, valid_inside

BLOCK = 128
"""Pixels that a program computes."""
SIZES = ["samples", "height", "width"]
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


def alignment(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    """See `Steps.alignment`."""
    samples, channels, height, width = first.shape
    layout = FieldLayout.of(fields)
    by_pixel = torch.empty(
        samples, MEASURES, height, width, dtype=torch.float32, device=first.device
    )
    result = torch.empty_like(by_pixel)
    sizes = {"samples": samples, "height": height, "width": width}
    blocks = triton.cdiv(samples * height * width, BLOCK)
    planes = {**sizes, "samples": MEASURES * samples}
    with device_guard(first):
        _pixel_values[(blocks,)](
            first.contiguous(), second.contiguous(), fields.contiguous(), by_pixel, **sizes,
            channels=channels, field_count=layout.channels,
            flow_to_second=layout.flow_to_second.start, mask=layout.mask.start, block=BLOCK,
        )  # fmt: skip
        _mean_of_square[(triton.cdiv(by_pixel.numel(), BLOCK),)](
            by_pixel, result, **planes, radius=AREA // 2, block=BLOCK
        )
    return result


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _pixel_values(  # type: ignore[no-untyped-def]
    first, second, fields, result, samples, height, width,
    channels: tl.constexpr, field_count: tl.constexpr, flow_to_second: tl.constexpr,
    mask: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute 4 m (1 - m) d, d and e: d is the mean difference of both warped frames, e that of the
    frames themselves, m the mask.

    Args:
        first, second: (N, channels, h, w).
        fields: (N, field_count, h, w), the flow to the first frame at 0.
        result: (N, 3, h, w).
        flow_to_second, mask: their first field.
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    area = height * width
    pixel = y * width + x
    here = fields + n * field_count * area + pixel
    # a, b, c, d: the pixels around the position in each frame
    a1, b1, c1, d1, fraction_x1, fraction_y1 = bilinear_corners(
        here, y, x, height, width, area, valid
    )
    a2, b2, c2, d2, fraction_x2, fraction_y2 = bilinear_corners(
        here + flow_to_second * area, y, x, height, width, area, valid
    )
    difference = tl.zeros((block,), tl.float32)
    in_place = tl.zeros((block,), tl.float32)
    for channel in tl.static_range(channels):
        plane = (n * channels + channel) * area
        colour1 = sample_bilinear(first + plane, a1, b1, c1, d1, fraction_x1, fraction_y1, valid)
        colour2 = sample_bilinear(second + plane, a2, b2, c2, d2, fraction_x2, fraction_y2, valid)
        difference += tl.abs(colour1 - colour2)
        own1 = tl.load(first + plane + pixel, valid, 0.0).to(tl.float32)
        own2 = tl.load(second + plane + pixel, valid, 0.0).to(tl.float32)
        in_place += tl.abs(own1 - own2)
    m = tl.load(here + mask * area, valid, 0.0).to(tl.float32)
    to = result + 3 * n * area + pixel
    tl.store(to, difference / channels * 4 * m * (1 - m), valid)
    tl.store(to + area, difference / channels, valid)
    tl.store(to + 2 * area, in_place / channels, valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _mean_of_square(  # type: ignore[no-untyped-def]
    values, result, samples, height, width, radius: tl.constexpr, block: tl.constexpr
):
    """Average values (N, 1, h, w) over squares of 2 `radius` + 1 pixels, pixels outside omitted."""
    n, y, x, valid = block_pixels(samples, height, width, block)
    total = tl.zeros((block,), tl.float32)
    count = tl.zeros((block,), tl.float32)
    for i in range(-radius, radius + 1):
        for j in range(-radius, radius + 1):
            inside = valid_inside(valid, y + i, x + j, height, width)
            total += tl.load(values + (n * height + y + i) * width + x + j, inside, 0.0)
            count += inside.to(tl.float32)
    tl.store(result + (n * height + y) * width + x, total / tl.maximum(count, 1.0), valid)
