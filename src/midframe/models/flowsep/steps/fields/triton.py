"""Fields from the decoder's outputs on CUDA, without gradients, as one Triton kernel."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.layout import FieldLayout
from midframe.models.flowsep.steps.fields.reference import MIN_KERNEL_SUM, log_odds
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import block_pixels, channels_innermost

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
            flows=layout.flows.stop, kernels=layout.kernels.start,
            kernel_count=len(layout.each_kernel), mask=layout.mask.start,
            residual=layout.residual.start, taps=layout.taps,
            normalise=normalise, min_sum=MIN_KERNEL_SUM, block=BLOCK,
        )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["samples", "height", "width"])  # type: ignore[untyped-decorator]
def _decode_outputs(  # type: ignore[no-untyped-def]
    outputs, flow, odds, result, samples, height, width,
    channels: tl.constexpr, flows: tl.constexpr, kernels: tl.constexpr,
    kernel_count: tl.constexpr, mask: tl.constexpr, residual: tl.constexpr, taps: tl.constexpr,
    normalise: tl.constexpr, min_sum: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute all fields of a block of pixels.

    Args:
        outputs: (N, h, w, channels).
        flow: (N, flows, h, w).
        odds: `log_odds` of t, (N,).
        result: (N, channels, h, w).
        kernels, mask, residual: their first channel (`FieldLayout`).
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    area = height * width
    pixel = y * width + x
    output = outputs + (n * area + pixel) * channels
    field = result + n * channels * area + pixel
    for component in tl.static_range(flows):
        value = tl.load(flow + (n * flows + component) * area + pixel, valid, 0.0).to(tl.float32)
        tl.store(field + component * area, value, valid)
    for kernel in tl.static_range(kernel_count):
        first_tap = kernels + kernel * taps
        kernel_sum = tl.full((block,), 1.0, tl.float32)  # of the delta
        if normalise:
            for tap in tl.static_range(taps):
                kernel_sum += tl.load(output + first_tap + tap, valid, 0.0).to(tl.float32)
            kernel_sum = tl.maximum(kernel_sum, min_sum)
        for tap in tl.static_range(taps):
            weight = tl.load(output + first_tap + tap, valid, 0.0).to(tl.float32)
            if tap == taps // 2:
                weight += 1.0
            tl.store(field + (first_tap + tap) * area, weight / kernel_sum, valid)
    logit = tl.load(output + mask, valid, 0.0).to(tl.float32) + tl.load(odds + n, valid, 0.0)
    tl.store(field + mask * area, 1 / (1 + tl.exp(-logit)), valid)
    for colour in tl.static_range(residual, channels):
        value = tl.load(output + colour, valid, 0.0).to(tl.float32)
        tl.store(field + colour * area, value, valid)
