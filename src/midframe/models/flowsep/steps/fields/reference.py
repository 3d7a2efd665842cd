"""Fields from the decoder's outputs, in PyTorch."""

import torch
from torch import Tensor

from midframe.models.flowsep.layout import AXES, FRAMES, FieldLayout
from midframe.ops.accumulation import at_least_float32

MIN_KERNEL_SUM = 0.2
"""Minimum of the kernel sums that kernels are divided by."""
MIN_T = 1e-3
"""Distance from 0 and 1 to which t is clamped for the log odds of a frame."""


def decode_outputs(outputs: Tensor, flow: Tensor, t: Tensor, normalise: bool) -> Tensor:
    """See `Steps.decode_outputs`. Differentiable."""
    outputs, layout = at_least_float32(outputs), FieldLayout.of(outputs)
    _, kernels, mask, residual = torch.split(outputs, layout.group_sizes, dim=1)
    kernels = kernels.reshape(len(outputs), FRAMES * AXES, layout.taps, *outputs.shape[2:])
    kernels = kernels + _delta(layout.taps, outputs.device)[:, None, None]  # (N, 4, K, h, w)
    if normalise:
        kernels = kernels / kernels.sum(2, keepdim=True).clamp(min=MIN_KERNEL_SUM)
    mask = torch.sigmoid(mask + log_odds(t))
    return torch.cat((flow, kernels.flatten(1, 2), mask, residual), dim=1)


def update_flow(flow: Tensor, outputs: Tensor, t: Tensor) -> Tensor:
    """Add the change in the first four channels of outputs to flows (N, 4, h, w).

    The change is scaled by the distance in time to each frame, so at either end the flow to that
    frame vanishes.
    """
    distance = torch.cat((t, t, 1 - t, 1 - t), dim=1) * 2
    return flow + distance * at_least_float32(outputs[:, FieldLayout.of(outputs).flows])


def log_odds(t: Tensor) -> Tensor:
    """Return the logarithm of the first frame's odds by time alone, (N, 1, 1, 1)."""
    return torch.log((1 - t).clamp(min=MIN_T) / t.clamp(min=MIN_T))


def _delta(taps: int, device: torch.device) -> Tensor:
    """Return a delta kernel, (K,), created on the device: CUDA graphs capture no copies from the
    host.
    """
    return (torch.arange(taps, device=device) == taps // 2).float()
