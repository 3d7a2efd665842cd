"""FlowSep's fields on CUDA, without gradients, as one Triton kernel."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.ops.dispatch import device_guard
from midframe.ops.fields import MIN_KERNEL_SUM, odds
from midframe.ops.triton_tools import TYPES, channels_innermost, pixels

BLOCK = 128
"""Pixels that a program computes."""


def serves(outputs: Tensor) -> bool:
    """Return whether the kernel takes such outputs of a network."""
    return outputs.is_cuda and outputs.dtype in TYPES


def fields(outputs: Tensor, flow: Tensor, time: Tensor, taps: int, normalise: bool) -> Tensor:
    """See `midframe.ops.fields.fields`."""
    samples, channels, height, width = outputs.shape
    result = torch.empty(outputs.shape, dtype=torch.float32, device=outputs.device)
    with device_guard(outputs):
        _fields[(triton.cdiv(samples * height * width, BLOCK),)](
            channels_innermost(outputs), flow.contiguous(), odds(time.float()).reshape(-1).contiguous(), result,
            samples=samples, height=height, width=width, channels=channels, taps=taps, normalise=normalise,
            least_sum=MIN_KERNEL_SUM, block=BLOCK,
        )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["samples", "height", "width"])  # type: ignore[untyped-decorator]
def _fields(  # type: ignore[no-untyped-def]
    outputs, flow, odds, result, samples, height, width,
    channels: tl.constexpr, taps: tl.constexpr, normalise: tl.constexpr, least_sum: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y, x, real = pixels(samples, height, width, block)
    area, place = height * width, y * width + x
    given = outputs + (n * area + place) * channels
    to = result + n * channels * area + place
    for axis in tl.static_range(4):
        value = tl.load(flow + (n * 4 + axis) * area + place, real, 0.0).to(tl.float32)
        tl.store(to + axis * area, value, real)
    for kernel in tl.static_range(4):
        start = 4 + kernel * taps
        total = tl.full((block,), 1.0, tl.float32)
        if normalise:
            for tap in tl.static_range(taps):
                total += tl.load(given + start + tap, real, 0.0).to(tl.float32)
            total = tl.maximum(total, least_sum)
        for tap in tl.static_range(taps):
            value = tl.load(given + start + tap, real, 0.0).to(tl.float32)
            if tap == taps // 2:
                value += 1.0
            tl.store(to + (start + tap) * area, value / total, real)
    last = 4 + 4 * taps
    mask = tl.load(given + last, real, 0.0).to(tl.float32) + tl.load(odds + n, real, 0.0)
    tl.store(to + last * area, 1 / (1 + tl.exp(-mask)), real)
    for colour in tl.static_range(1, 4):
        value = tl.load(given + last + colour, real, 0.0).to(tl.float32)
        tl.store(to + (last + colour) * area, value, real)
