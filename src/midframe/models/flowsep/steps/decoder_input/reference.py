"""The decoder's input in PyTorch."""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.accumulation import at_least_float32
from midframe.ops.correlation import local_correlation
from midframe.ops.upsampling import upsample
from midframe.ops.warping import warp

CORRELATION_GAIN = 2.0
"""Factor of the correlation, which scales it to the range of the other features."""
MIN_LENGTH = 1e-3
"""Minimum length: shorter features are not normalised to length 1 for the correlation."""


def decoder_input(
    features: Tensor,
    carried: Tensor | None,
    flow: Tensor,
    t: Tensor,
    radius: int,
    multiple: int = 1,
) -> Tensor:
    """See `Steps.decoder_input`. Differentiable."""
    first, second = features.chunk(2)
    flow_to_first, flow_to_second = flow.chunk(2, 1)
    first, second = warp(first, flow_to_first), warp(second, flow_to_second)
    inputs = [first, second]
    if radius:
        correlation = local_correlation(unit_length(first), unit_length(second), radius)
        inputs.append(correlation * CORRELATION_GAIN)
    if carried is not None:
        inputs.append(upsample(carried, 2))
    inputs += [flow, t.expand(-1, 1, *flow.shape[2:])]
    result = torch.cat([each.to(features.dtype) for each in inputs], dim=1)
    return pad_channels(result, multiple)


def pad_channels(features: Tensor, multiple: int) -> Tensor:
    """Append channels of zeros to features (N, C, h, w) up to a multiple."""
    missing = -features.shape[1] % multiple
    return functional.pad(features, (0, 0, 0, 0, 0, missing)) if missing else features


def unit_length(features: Tensor) -> Tensor:
    """Scale features (N, C, h, w) to the length 1 at every pixel."""
    return functional.normalize(at_least_float32(features), dim=1, eps=MIN_LENGTH)
