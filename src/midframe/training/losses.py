"""What training minimises."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from midframe.models.adaconv import MARGIN, STRIDE, AdaConv
from midframe.models.network import Network
from midframe.models.sepconv import SeparableKernels, SepConv
from midframe.ops import adaptive_convolution

Parts = dict[str, Tensor]


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

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, guide_weight: float) -> tuple[Tensor, Parts]:
        """Return the loss to minimise, a scalar, and the parts of it to be logged; "loss" is that of colour alone."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the network makes of a batch and what is true there, of one shape: for validation."""
        return self.model(batch.first, batch.second), batch.middle


class SepConvObjective(Objective):
    """L1 on colour (ICCV 2017, equation 4), and the guidance of kernels by optical flow."""

    def forward(self, batch: Batch, guide_weight: float) -> tuple[Tensor, Parts]:
        kernels = self.model.kernels(batch.first, batch.second)
        made = self.model.apply(batch.first, batch.second, kernels)
        colour = l1(made, batch.middle)
        if guide_weight == 0 or batch.flows is None or batch.trust is None:
            return colour, {"loss": colour.detach()}
        guide = kernel_guidance(kernels, batch.flows, batch.trust)
        return colour + guide_weight * guide, {"loss": colour.detach(), "guide": guide.detach()}


class AdaConvObjective(Objective):
    """L1 on colour and on gradients (CVPR 2017, section 3.2), and the guidance of kernels by optical flow.

    Every eighth pixel of a crop counts: the network's strides make them all for little more than one of them.
    """

    def forward(self, batch: Batch, guide_weight: float) -> tuple[Tensor, Parts]:
        scores = self.model.scores(batch.first, batch.second).float()  # (N, h, w, 2*K*K)
        made = self._neighbours_made(batch, self.model.softmax(scores))
        truth = every_stride(neighbours(batch.middle), made.shape[-2:], border=MARGIN - 1)
        colour = l1(made[:, CENTRE], truth[:, CENTRE])
        gradients = l1(made - made[:, CENTRE, None], truth - truth[:, CENTRE, None]) * len(NEIGHBOURS)
        loss = colour + gradients
        if guide_weight == 0 or batch.flows is None or batch.trust is None:
            return loss, {"loss": colour.detach()}
        flows, trust = (every_stride(each, made.shape[-2:], MARGIN) for each in (batch.flows, batch.trust))
        guide = score_guidance(scores, flows, trust)
        return loss + guide_weight * guide, {"loss": colour.detach(), "guide": guide.detach()}

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        kernels = self.model.kernels(batch.first, batch.second)
        made = self.model.filtered(torch.stack((batch.first, batch.second), dim=1), kernels)
        return made, every_stride(batch.middle, made.shape[-2:], MARGIN)

    def _neighbours_made(self, batch: Batch, kernels: Tensor) -> Tensor:
        """Each pixel and its eight neighbours, all made by the pixel's own kernels, (N, 9, 3, h, w)."""
        taps = kernels.shape[2]
        border = MARGIN - taps // 2 - 1  # what neither a kernel nor that of a neighbour reaches
        rows, columns = (slice(border, border + (size - 1) * STRIDE + taps + 2) for size in kernels.shape[4:])
        frames = torch.stack((batch.first, batch.second), dim=1)[..., rows, columns]
        made = adaptive_convolution(neighbours(frames).flatten(2, 3), kernels, stride=STRIDE)  # (N, 27, h, w)
        return made.view(len(made), len(NEIGHBOURS), -1, *made.shape[2:])


OBJECTIVES: dict[type[Network], type[Objective]] = {SepConv: SepConvObjective, AdaConv: AdaConvObjective}
"""What each network is trained on."""

NEIGHBOURS = tuple(product(range(3), repeat=2))
"""Places in a 3x3 neighbourhood, y before x."""
CENTRE = NEIGHBOURS.index((1, 1))


def neighbours(images: Tensor) -> Tensor:
    """The neighbourhood of every pixel but the outermost: (..., C, H, W) -> (..., 9, C, H-2, W-2)."""
    height, width = (size - 2 for size in images.shape[-2:])
    return torch.stack([images[..., y : y + height, x : x + width] for y, x in NEIGHBOURS], dim=-4)


def every_stride(images: Tensor, size: Sequence[int], border: int) -> Tensor:
    """The values (..., h, w) at the pixels that AdaConv makes of a crop."""
    height, width = size
    return images[..., border::STRIDE, border::STRIDE][..., :height, :width]


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
        nearness.append((part if right else 1 - part)[:, :, 0] * (part if down else 1 - part)[:, :, 1] * weight)
        found.append((corner[:, :, 1].long() + down) * taps + corner[:, :, 0].long() + right + frame)  # (N, 2, h, w)
    at_flow = scores.gather(-1, torch.cat(found, dim=1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (N, 8, h, w)
    wanted = (at_flow * torch.cat(nearness, dim=1)).sum(1)
    entropy = scores.logsumexp(-1) - wanted / weight.sum(1).clamp(min=1e-6)
    return (entropy * weight.amax(1)).mean()
