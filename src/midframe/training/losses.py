"""What training minimises."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from midframe.models.sepconv import SeparableKernels, SepConv


class Batch(NamedTuple):
    """A batch on its way to the network."""

    first: Tensor
    """(N, 3, H, W) in [0, 1], as are the other two frames."""
    middle: Tensor
    second: Tensor
    flows: Tensor | None = None
    """Optical flow from the middle frame to the first and the second, (N, 2, 2, H, W), x before y, in pixels."""
    trust: Tensor | None = None
    """How well each flow explains the middle frame, (N, 2, H, W), from 0 to 1."""


class Objective(nn.Module):
    """A network and its loss in one module, so that Fabric wraps both (precision, several devices)."""

    def __init__(self, model: SepConv) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, guide_weight: float) -> tuple[Tensor, Tensor]:
        """Return the loss to minimise and the colour loss alone, both scalars."""
        kernels = self.model.kernels(batch.first, batch.second)
        made = self.model.apply(batch.first, batch.second, kernels)
        colour = l1(made, batch.middle)
        if guide_weight == 0 or batch.flows is None or batch.trust is None:
            return colour, colour.detach()
        return colour + guide_weight * kernel_guidance(kernels, batch.flows, batch.trust), colour.detach()


def l1(made: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of colour (SepConv, equation 4), not clipped."""
    return (made - truth).abs().mean()


def kernel_guidance(kernels: SeparableKernels, flows: Tensor, trust: Tensor) -> Tensor:
    """Squared distance of every kernel from the one that fetches its pixel along optical flow.

    A shifted delta is a kernel: at flow (u, v) the horizontal kernel should be the hat function around u, the vertical
    one around v, each scaled so that the two frames together sum to 1. Pixels whose flow is not trusted, or leads
    further than the kernels reach, do not count.
    """
    targets = [(0, 1), (0, 0), (1, 1), (1, 0)]  # frame and axis of flow (x, y) for each field of SeparableKernels
    reach = kernels[0].shape[1] // 2
    weight = trust * (flows.abs().amax(2) <= reach)  # (N, 2, H, W)
    losses = [
        (((kernel.float() - hat(flows[:, frame, axis], reach)) ** 2).sum(1) * weight[:, frame]).mean()
        for kernel, (frame, axis) in zip(kernels, targets, strict=True)
    ]
    return torch.stack(losses).sum()


def hat(offset: Tensor, reach: int) -> Tensor:
    """Linear interpolation at an offset (N, H, W), as a kernel (N, 2 * reach + 1, H, W) that sums to sqrt(1/2)."""
    taps = torch.arange(-reach, reach + 1, device=offset.device, dtype=offset.dtype)[:, None, None]
    return (1 - (taps - offset[:, None]).abs()).clamp(min=0) * math.sqrt(0.5)
