"""What a level of FlowSep's decoder reads of two frames that a flow brings together."""

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.correlation import local_correlation
from midframe.ops.dispatch import cuda_module, forward_module
from midframe.ops.synthesis import enlarged
from midframe.ops.warping import warp

CORRELATION_GAIN = 2.0
"""What features that are alike count, beside features."""
LEAST_LENGTH = 1e-3
"""Features that are shorter do not become as long as the others to be compared."""


def aligned(
    features: Tensor, carried: Tensor | None, flow: Tensor, time: Tensor, radius: int, *, multiple: int = 1
) -> Tensor:
    """Bring together what a level knows: features along the flows, how alike they are, and what came before.

    Args:
        features: of both frames, (2N, C, h, w), first frames first, float32, float16 or bfloat16.
        carried: what the coarser level carries on, (N, D, h/2, w/2) in their type, enlarged here; or None.
        flow: to the first and to the second frame, (N, 4, h, w) float32, x before y, in pixels of this level.
        time: (N, 1, 1, 1).
        radius: how far the features are correlated around where the flows lead (`local_correlation`, features scaled to
            the length 1), in pixels; 0 for not at all.
        multiple: channels of zeros are appended up to a multiple of this count.

    Returns:
        (N, 2C + (2 radius + 1)^2 + D + 5, h, w) in the type of the features: those of the first and of the second
        frame, correlation, carried, flow, time. Differentiable; on CUDA by Triton; on the CPU, without gradients, by
        Halide.
    """
    result: Tensor
    if fast := cuda_module("alignment_cuda", features):
        result = fast.aligned(features, carried, flow, time, radius, multiple)
        return result
    if fast := forward_module("alignment_cpu", features):
        result = fast.aligned(features, carried, flow, time, radius)
    else:
        result = aligned_plainly(features, carried, flow, time, radius)
    missing = -result.shape[1] % multiple
    return functional.pad(result, (0, 0, 0, 0, 0, missing)) if missing else result


def aligned_plainly(features: Tensor, carried: Tensor | None, flow: Tensor, time: Tensor, radius: int) -> Tensor:
    """`aligned` in PyTorch."""
    parts = [warp(each, where) for each, where in zip(features.chunk(2), flow.chunk(2, 1), strict=True)]
    if radius:
        parts.append(local_correlation(unit(parts[0]), unit(parts[1]), radius) * CORRELATION_GAIN)
    if carried is not None:
        parts.append(enlarged(carried, 2))
    parts += [flow, time.expand(-1, 1, *flow.shape[2:])]
    return torch.cat([part.to(features.dtype) for part in parts], dim=1)


def unit(features: Tensor) -> Tensor:
    """Features (N, C, h, w) with the length 1 at every pixel."""
    return functional.normalize(features.float(), dim=1, eps=LEAST_LENGTH)
