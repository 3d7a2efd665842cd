"""Inconsistency on CUDA, without gradients, as two Triton kernels."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.steps.inconsistency.plain import AREA
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import corners, pixels, sample

BLOCK = 128
"""Pixels that a program computes."""
SIZES = ["samples", "height", "width"]
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


def inconsistency(first: Tensor, second: Tensor, fields: Tensor) -> Tensor:
    """See `Steps.inconsistency`."""
    samples, channels, height, width = first.shape
    layout = FieldLayout.of(fields)
    own = torch.empty(samples, 1, height, width, dtype=torch.float32, device=first.device)
    result = torch.empty_like(own)
    sizes = {"samples": samples, "height": height, "width": width}
    grid = (triton.cdiv(samples * height * width, BLOCK),)
    with device_guard(first):
        _pixels[grid](
            first.contiguous(), second.contiguous(), fields.contiguous(), own, **sizes,
            channels=channels, fields=layout.channels, second_flow=layout.flow_to_second.start,
            mask=layout.mask.start, block=BLOCK,
        )  # fmt: skip
        _mean[grid](own, result, **sizes, radius=AREA // 2, block=BLOCK)
    return result


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _pixels(  # type: ignore[no-untyped-def]
    first, second, values, result, samples, height, width,
    channels: tl.constexpr, fields: tl.constexpr, second_flow: tl.constexpr, mask: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    n, y, x, valid = pixels(samples, height, width, block)
    area = height * width
    place = y * width + x
    at = values + n * fields * area + place
    a, b, c, d, px, py = corners(at, y, x, height, width, area, valid)
    e, f, g, h, qx, qy = corners(at + second_flow * area, y, x, height, width, area, valid)
    total = tl.zeros((block,), tl.float32)
    for channel in tl.static_range(channels):
        plane = (n * channels + channel) * area
        one = sample(first + plane, a, b, c, d, px, py, valid)
        total += tl.abs(one - sample(second + plane, e, f, g, h, qx, qy, valid))
    weight = tl.load(at + mask * area, valid, 0.0).to(tl.float32)
    tl.store(result + n * area + place, total / channels * 4 * weight * (1 - weight), valid)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _mean(own, result, samples, height, width, radius: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]
    n, y, x, valid = pixels(samples, height, width, block)
    total = tl.zeros((block,), tl.float32)
    count = tl.zeros((block,), tl.float32)
    for i in range(-radius, radius + 1):
        for j in range(-radius, radius + 1):
            inside = valid & (y + i >= 0) & (y + i < height) & (x + j >= 0) & (x + j < width)
            total += tl.load(own + (n * height + y + i) * width + x + j, inside, 0.0)
            count += inside.to(tl.float32)
    tl.store(result + (n * height + y) * width + x, total / tl.maximum(count, 1.0), valid)
