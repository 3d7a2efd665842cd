"""Supervise kernels and flows by optical flow between the true frames (pseudo-labels)."""

import math
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.sepconv import SeparableKernels

FLOW_SOFTNESS = 0.5
"""Distance from optical flow, in pixels, below which the loss is quadratic: the labels are not
exact."""
FRAME_AND_AXIS = ((0, 1), (0, 0), (1, 1), (1, 0))
"""Frame and axis of flow (0: x, 1: y) of each field of `SeparableKernels`."""


def kernel_flow_loss(kernels: SeparableKernels, flows: Tensor, confidence: Tensor) -> Tensor:
    """Return the squared distance of all kernels from those that sample along optical flow.

    At flow (u, v) the target of the horizontal kernel is the hat function centred on u, that of the
    vertical kernel the one centred on v, scaled so that the kernels of both frames sum to 1. Pixels
    are weighted by the confidence of their flow; flow beyond the reach of the kernels is ignored.

    Args:
        kernels: 4 x (N, K, H, W).
        flows: (N, 2, 2, H, W), as in `Batch`.
        confidence: (N, 2, H, W), as in `Batch`.
    """
    reach = kernels[0].shape[1] // 2
    weight = confidence * (flows.abs().amax(2) <= reach)  # (N, 2, H, W)
    losses = []
    for kernel, (frame, axis) in zip(kernels, FRAME_AND_AXIS, strict=True):
        difference = kernel.float() - hat_kernel(flows[:, frame, axis], reach)
        losses.append((difference.square().sum(1) * weight[:, frame]).mean())
    return torch.stack(losses).sum()


def flow_loss(estimates: list[Tensor], flows: Tensor, confidence: Tensor) -> Tensor:
    """Return the robust distance of the flows of all levels from optical flow, in pixels.

    Optical flow is downsampled to the size of each level, averaged with its confidence as weight.

    Args:
        estimates: flows of each level, (N, 4, h, w), in pixels of that level.
        flows: (N, 2, 2, H, W), as in `Batch`.
        confidence: (N, 2, H, W), as in `Batch`.
    """
    weight = confidence[:, :, None]
    losses = []
    for estimate in estimates:
        factor = flows.shape[-1] // estimate.shape[-1]
        weights = _downsample(weight, factor)  # (N, 2, 1, h, w)
        target = _downsample(flows * weight, factor) / weights.clamp(min=1e-3)
        difference = estimate.view(target.shape) * factor - target  # (N, 2, 2, h, w)
        distance = torch.sqrt(difference.pow(2).sum(2) + FLOW_SOFTNESS**2) - FLOW_SOFTNESS
        losses.append((distance * weights[:, :, 0]).mean())
    return torch.stack(losses).mean()


def _downsample(values: Tensor, factor: int) -> Tensor:
    """Average (N, 2, C, H, W) over squares: (N, 2, C, H / factor, W / factor)."""
    pooled = functional.avg_pool2d(values.flatten(1, 2), factor)
    return pooled.view(*values.shape[:3], *pooled.shape[2:])


def hat_kernel(offset: Tensor, reach: int) -> Tensor:
    """Return linear interpolation at an offset as a kernel that sums to sqrt(1/2).

    Args:
        offset: (N, H, W), in pixels.
        reach: pixels on each side of the centre.

    Returns:
        (N, 2 * reach + 1, H, W).
    """
    taps = torch.arange(-reach, reach + 1, device=offset.device, dtype=offset.dtype)[:, None, None]
    return (1 - (taps - offset[:, None]).abs()).clamp(min=0) * math.sqrt(0.5)


def logit_flow_loss(logits: Tensor, flows: Tensor, confidence: Tensor) -> Tensor:
    """Return the cross-entropy of AdaConv's softmax against the positions that flow points to.

    The target is split among four taps as in bilinear interpolation, and between the frames in
    proportion to the confidence. Flow beyond the reach of the kernels is ignored.

    Args:
        logits: before the softmax, (N, h, w, 2*K*K).
        flows: (N, 2, 2, h, w), as in `Batch`, at the pixels of the logits.
        confidence: (N, 2, h, w).
    """
    taps = math.isqrt(logits.shape[-1] // 2)
    reach = taps // 2
    weight = confidence * (flows.abs().amax(2) < reach)  # (N, 2, h, w)
    position = (flows + reach).clamp(0, taps - 1.001)
    corner = position.floor()
    fraction = position - corner
    frame = torch.tensor([0, taps * taps], device=flows.device)[:, None, None]
    indices, weights = [], []
    for down, right in product((0, 1), repeat=2):
        along_x = (fraction if right else 1 - fraction)[:, :, 0]
        along_y = (fraction if down else 1 - fraction)[:, :, 1]
        weights.append(along_x * along_y * weight)
        row, column = corner[:, :, 1].long() + down, corner[:, :, 0].long() + right
        indices.append(row * taps + column + frame)  # (N, 2, h, w)
    at_flow = logits.gather(-1, torch.cat(indices, dim=1).permute(0, 2, 3, 1))  # (N, h, w, 8)
    target = (at_flow.permute(0, 3, 1, 2) * torch.cat(weights, dim=1)).sum(1)
    entropy = logits.logsumexp(-1) - target / weight.sum(1).clamp(min=1e-6)
    return (entropy * weight.amax(1)).mean()
