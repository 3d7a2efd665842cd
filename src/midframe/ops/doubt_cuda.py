"""How much two frames disagree along the flows to them, on CUDA, without gradients, as two Triton kernels."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.ops.dispatch import device_guard
from midframe.ops.doubt import AREA
from midframe.ops.triton_tools import TYPES, corners, pixels, sample

BLOCK = 128
"""Pixels that a program computes."""
SIZES = ["samples", "height", "width"]
"""Arguments whose values are not compiled in: one kernel serves all sizes."""


def serves(first: Tensor) -> bool:
    """Return whether the kernels take such frames."""
    return first.is_cuda and first.dtype in TYPES


def doubt(first: Tensor, second: Tensor, said: Tensor, taps: int) -> Tensor:
    """See `midframe.ops.doubt.doubt`."""
    samples, channels, height, width = first.shape
    alone = torch.empty(samples, 1, height, width, dtype=torch.float32, device=first.device)
    result = torch.empty_like(alone)
    sizes = {"samples": samples, "height": height, "width": width}
    grid = (triton.cdiv(samples * height * width, BLOCK),)
    frames = first.contiguous(), second.contiguous()
    with device_guard(first):
        _undecided[grid](*frames, said.contiguous(), alone, **sizes, channels=channels, taps=taps, block=BLOCK)
        _mean[grid](alone, result, **sizes, reach=AREA // 2, block=BLOCK)
    return result


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _undecided(  # type: ignore[no-untyped-def]
    first, second, said, result, samples, height, width,
    channels: tl.constexpr, taps: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y, x, real = pixels(samples, height, width, block)
    area, place = height * width, y * width + x
    given = said + n * (8 + 4 * taps) * area + place
    a, b, c, d, px, py = corners(given, y, x, height, width, area, real)
    e, f, g, h, qx, qy = corners(given + 2 * area, y, x, height, width, area, real)
    total = tl.zeros((block,), tl.float32)
    for channel in tl.static_range(channels):
        plane = (n * channels + channel) * area
        one = sample(first + plane, a, b, c, d, px, py, real)
        total += tl.abs(one - sample(second + plane, e, f, g, h, qx, qy, real))
    mask = tl.load(given + (4 + 4 * taps) * area, real, 0.0).to(tl.float32)
    tl.store(result + n * area + place, total / channels * 4 * mask * (1 - mask), real)


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _mean(alone, result, samples, height, width, reach: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]
    n, y, x, real = pixels(samples, height, width, block)
    total, count = tl.zeros((block,), tl.float32), tl.zeros((block,), tl.float32)
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            inside = real & (y + i >= 0) & (y + i < height) & (x + j >= 0) & (x + j < width)
            total += tl.load(alone + (n * height + y + i) * width + x + j, inside, 0.0)
            count += inside.to(tl.float32)
    tl.store(result + (n * height + y) * width + x, total / tl.maximum(count, 1.0), real)
