"""Teaching kernels where optical flow found each pixel: a shifted delta is a kernel."""

import math
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.sepconv import SeparableKernels

FLOW_SOFTNESS = 0.5
"""Below this distance from optical flow, in pixels, errors count less and less: it is no better itself."""


def kernel_guidance(kernels: SeparableKernels, flows: Tensor, trust: Tensor) -> Tensor:
    """Squared distance of every kernel from the one that fetches its pixel along optical flow.

    A shifted delta is a kernel: at flow (u, v) the horizontal kernel should be the hat function around u, the vertical
    one around v, each scaled so that the two frames together sum to 1. Pixels whose flow is not trusted, or leads
    further than the kernels reach, do not count.
    """
    targets = [
        (0, 1),
        (0, 0),
        (1, 1),
        (1, 0),
    ]  # frame and axis of flow (x, y) for each field of SeparableKernels
    reach = kernels[0].shape[1] // 2
    weight = trust * (flows.abs().amax(2) <= reach)  # (N, 2, H, W)
    losses = [
        (
            ((kernel.float() - hat(flows[:, frame, axis], reach)) ** 2).sum(1) * weight[:, frame]
        ).mean()
        for kernel, (frame, axis) in zip(kernels, targets, strict=True)
    ]
    return torch.stack(losses).sum()


def flow_guidance(estimates: list[Tensor], flows: Tensor, trust: Tensor) -> Tensor:
    """How far the flows of each level are from optical flow, in pixels of the frame, robustly.

    A level is compared at its own size, with flow averaged over what a pixel of it covers, by how far it is trusted.

    Args:
        estimates: of each level, (N, 4, h, w), in pixels of that level.
        flows, trust: as in `Batch`, (N, 2, 2, H, W) and (N, 2, H, W).
    """
    weight = trust[:, :, None]
    losses = []
    for estimate in estimates:
        factor = flows.shape[-1] // estimate.shape[-1]
        weights = functional.avg_pool2d(weight.flatten(1, 2), factor).unflatten(1, (2, 1))  # type: ignore[no-untyped-call]
        wanted = functional.avg_pool2d((flows * weight).flatten(1, 2), factor).unflatten(1, (2, 2))  # type: ignore[no-untyped-call]
        wanted = wanted / weights.clamp(min=1e-3)
        apart = estimate.view(wanted.shape) * factor - wanted  # (N, 2, 2, h, w)
        distance = torch.sqrt(apart.pow(2).sum(2) + FLOW_SOFTNESS**2) - FLOW_SOFTNESS
        losses.append((distance * weights[:, :, 0]).mean())
    return torch.stack(losses).mean()


def hat(offset: Tensor, reach: int) -> Tensor:
    """Linear interpolation at an offset (N, H, W), as a kernel (N, 2 * reach + 1, H, W) that sums to sqrt(1/2)."""
    taps = torch.arange(-reach, reach + 1, device=offset.device, dtype=offset.dtype)[:, None, None]
    return (1 - (taps - offset[:, None]).abs()).clamp(min=0) * math.sqrt(0.5)


def score_guidance(scores: Tensor, flows: Tensor, trust: Tensor) -> Tensor:
    """Cross-entropy of AdaConv's softmax against the places that optical flow leads to.

    Between four taps the wanted weight is split as by bilinear interpolation, between the frames by trust. Flow that is
    not trusted, or leads further than the kernels reach, does not count.

    Args:
        scores: before the softmax, (N, h, w, 2*K*K).
        flows, trust: as in `Batch`, (N, 2, 2, h, w) and (N, 2, h, w), at the pixels of the scores.
    """
    taps = math.isqrt(scores.shape[-1] // 2)
    reach = taps // 2
    weight = trust * (flows.abs().amax(2) < reach)  # (N, 2, h, w)
    places = (flows + reach).clamp(0, taps - 1.001)
    corner = places.floor()
    part = places - corner
    frame = torch.tensor([0, taps * taps], device=flows.device)[:, None, None]
    found, nearness = [], []
    for down, right in product((0, 1), repeat=2):
        nearness.append(
            (part if right else 1 - part)[:, :, 0] * (part if down else 1 - part)[:, :, 1] * weight
        )
        found.append(
            (corner[:, :, 1].long() + down) * taps + corner[:, :, 0].long() + right + frame
        )  # (N, 2, h, w)
    at_flow = scores.gather(-1, torch.cat(found, dim=1).permute(0, 2, 3, 1)).permute(
        0, 3, 1, 2
    )  # (N, 8, h, w)
    wanted = (at_flow * torch.cat(nearness, dim=1)).sum(1)
    entropy = scores.logsumexp(-1) - wanted / weight.sum(1).clamp(min=1e-6)
    return (entropy * weight.amax(1)).mean()
