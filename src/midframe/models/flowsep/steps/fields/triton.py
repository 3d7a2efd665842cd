"""Fields from the decoder's outputs on CUDA, without gradients, as one Triton kernel."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.steps.fields.plain import MIN_KERNEL_SUM, log_odds
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import channels_innermost, pixels

BLOCK = 128
"""Pixels that a program computes."""


def decode_outputs(outputs: Tensor, flow: Tensor, t: Tensor, normalise: bool) -> Tensor:
    """See `Steps.decode_outputs`."""
    samples, _, height, width = outputs.shape
    layout = FieldLayout.of(outputs)
    result = torch.empty(outputs.shape, dtype=torch.float32, device=outputs.device)
    odds = log_odds(t.float()).reshape(-1).contiguous()
    with device_guard(outputs):
        _decode_outputs[(triton.cdiv(samples * height * width, BLOCK),)](
            channels_innermost(outputs), flow.contiguous(), odds, result,
            samples=samples, height=height, width=width, channels=layout.channels,
            flows=layout.flows.stop, kernels=layout.kernels.start, count=len(layout.each_kernel),
            mask=layout.mask.start, residual=layout.residual.start, taps=layout.taps,
            normalise=normalise, min_sum=MIN_KERNEL_SUM, block=BLOCK,
        )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["samples", "height", "width"])  # type: ignore[untyped-decorator]
def _decode_outputs(  # type: ignore[no-untyped-def]
    outputs, flow, odds, result, samples, height, width,
    channels: tl.constexpr, flows: tl.constexpr, kernels: tl.constexpr, count: tl.constexpr,
    mask: tl.constexpr, residual: tl.constexpr, taps: tl.constexpr, normalise: tl.constexpr,
    min_sum: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y, x, valid = pixels(samples, height, width, block)
    area = height * width
    place = y * width + x
    given = outputs + (n * area + place) * channels
    to = result + n * channels * area + place
    for axis in tl.static_range(flows):
        value = tl.load(flow + (n * flows + axis) * area + place, valid, 0.0).to(tl.float32)
        tl.store(to + axis * area, value, valid)
    for kernel in tl.static_range(count):
        start = kernels + kernel * taps
        total = tl.full((block,), 1.0, tl.float32)
        if normalise:
            for tap in tl.static_range(taps):
                total += tl.load(given + start + tap, valid, 0.0).to(tl.float32)
            total = tl.maximum(total, min_sum)
        for tap in tl.static_range(taps):
            value = tl.load(given + start + tap, valid, 0.0).to(tl.float32)
            if tap == taps // 2:
                value += 1.0
            tl.store(to + (start + tap) * area, value / total, valid)
    logit = tl.load(given + mask, valid, 0.0).to(tl.float32) + tl.load(odds + n, valid, 0.0)
    tl.store(to + mask * area, 1 / (1 + tl.exp(-logit)), valid)
    for colour in tl.static_range(residual, channels):
        value = tl.load(given + colour, valid, 0.0).to(tl.float32)
        tl.store(to + colour * area, value, valid)
