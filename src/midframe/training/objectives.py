"""What each network is trained on: from a batch to the loss that is minimised."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from midframe.models.adaconv import MARGIN, STRIDE, AdaConv
from midframe.models.flowsep import FlowSep
from midframe.models.network import Network
from midframe.models.sepconv import SepConv, kernel_sum
from midframe.ops import adaptive_convolution
from midframe.training.guidance import flow_guidance, kernel_guidance, score_guidance
from midframe.training.losses import CENTRE, NEIGHBOURS, ColourLoss, l1, neighbours

Parts = dict[str, Tensor]
SLACK = 1.0
"""How far the logarithm of a kernel's sum may be from 0 before the tether pulls."""


class Batch(NamedTuple):
    """A batch on its way to the network."""

    first: Tensor
    """(N, 3, H, W) in [0, 1], as are the other two frames."""
    middle: Tensor
    """The frame between, in the middle or, for networks that take any time, elsewhere."""
    second: Tensor
    time: Tensor
    """When the frame between is shown, (N,), from 0 (first) to 1 (second)."""
    flows: Tensor | None = None
    """Optical flow from the frame between to the first and the second, (N, 2, 2, H, W), x before y, in pixels."""
    trust: Tensor | None = None
    """How well each flow explains the middle frame, (N, 2, H, W), from 0 to 1."""
    scale: int = 1
    """How many times smaller a network that can reads the frames."""


class Objective(nn.Module):
    """A network and its loss in one module, so that Fabric wraps both (precision, several devices)."""

    takes_losses = True
    """Whether losses of colour can be chosen."""

    def __init__(self, model: Any, colour_loss: ColourLoss | None = None, tether: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.colour_loss = colour_loss or ColourLoss()
        self.tether = tether

    def forward(self, batch: Batch, guide_weight: float) -> tuple[Tensor, Parts]:
        """Return the loss to minimise, a scalar, and the parts of it to be logged; "loss" is that of colour alone."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the network makes of a batch and what is true there, of one shape: for validation."""
        return self.model(batch.first, batch.second), batch.middle


class SepConvObjective(Objective):
    """The wanted losses of colour, the guidance of kernels by optical flow, and the tether of their sums near one.

    Colours do not change when kernels that are normalised grow, so that nothing but the tether holds their size.
    """

    def forward(self, batch: Batch, guide_weight: float) -> tuple[Tensor, Parts]:
        kernels = self.model.kernels(batch.first, batch.second)
        made = self.model.synthesise(batch.first, batch.second, kernels)
        loss, parts = self.colour_loss(made.float(), batch.middle)
        if self.tether:
            drift = functional.relu(kernel_sum(kernels).log().abs() - SLACK).mean()
            loss, parts = loss + self.tether * drift, {**parts, "drift": drift.detach()}
        if guide_weight == 0 or batch.flows is None or batch.trust is None:
            return loss, parts
        guide = kernel_guidance(kernels, batch.flows, batch.trust)
        return loss + guide_weight * guide, {**parts, "guide": guide.detach()}


class FlowSepObjective(Objective):
    """The wanted losses of colour, and the guidance of every level's flows by optical flow."""

    def forward(self, batch: Batch, guide_weight: float) -> tuple[Tensor, Parts]:
        estimate = self.model.estimate(batch.first, batch.second, batch.time, batch.scale)
        made = self.model.synthesise(batch.first, batch.second, estimate)
        colour, parts = self.colour_loss(made.float(), batch.middle)
        if guide_weight == 0 or batch.flows is None or batch.trust is None:
            return colour, parts
        guide = flow_guidance(estimate.flows, batch.flows, batch.trust)
        return colour + guide_weight * guide, {**parts, "guide": guide.detach()}

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.model(batch.first, batch.second, batch.time), batch.middle


class AdaConvObjective(Objective):
    """L1 on colour and on gradients (CVPR 2017, section 3.2), and the guidance of kernels by optical flow.

    Every eighth pixel of a crop counts: the network's strides make them all for little more than one of them.
    """

    takes_losses = False

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


OBJECTIVES: dict[type[Network], type[Objective]] = {
    SepConv: SepConvObjective,
    AdaConv: AdaConvObjective,
    FlowSep: FlowSepObjective,
}
"""What each network is trained on."""


def every_stride(images: Tensor, size: Sequence[int], border: int) -> Tensor:
    """The values (..., h, w) at the pixels that AdaConv makes of a crop."""
    height, width = size
    return images[..., border::STRIDE, border::STRIDE][..., :height, :width]
