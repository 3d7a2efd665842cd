"""The training objective of each network, which computes the loss of a batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from midframe.errors import ConfigError
from midframe.models.adaconv import MARGIN, STRIDE, AdaConv
from midframe.models.flowsep import FlowSep
from midframe.models.network import Network
from midframe.models.sepconv import SeparableKernels, SepConv, kernel_sum
from midframe.ops import adaptive_convolution
from midframe.training.config import TrainConfig
from midframe.training.flow_supervision import flow_loss, kernel_flow_loss, logit_flow_loss
from midframe.training.losses import CENTRE, NEIGHBOURS, ColourLoss, Losses, l1, neighbours

SUM_TOLERANCE = 1.0
"""|log(kernel sum)| above which the kernel-sum penalty applies."""


class Batch(NamedTuple):
    """A batch of triplets."""

    first: Tensor
    """(N, 3, H, W) in [0, 1], like the other two frames."""
    middle: Tensor
    """The ground truth, halfway between the others or, for any-time networks, at t."""
    second: Tensor
    t: Tensor
    """Time of the middle frame, (N,), from 0 (first) to 1 (second)."""
    flows: Tensor | None = None
    """Optical flow from the middle frame to the first and to the second, (N, 2, 2, H, W), x before
    y, in pixels."""
    confidence: Tensor | None = None
    """How well each flow explains the middle frame, (N, 2, H, W), from 0 to 1."""
    scale: int = 1
    """Factor by which the network downscales the frames; networks other than FlowSep ignore it."""


class Objective(nn.Module):
    """Combine a network and its loss in one module, which Fabric wraps; the loss is the colour
    loss."""

    has_configurable_loss = True
    """Whether the setting `loss` applies."""
    has_flow_supervision = False
    """Whether the setting `flow_supervision` applies."""
    has_kernel_sum_penalty = False
    """Whether the setting `kernel_sum_penalty` applies."""

    def __init__(
        self,
        model: Any,
        colour_loss: ColourLoss | None = None,
        kernel_sum_penalty: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.colour_loss = colour_loss or ColourLoss()
        self.kernel_sum_penalty = kernel_sum_penalty

    def forward(self, batch: Batch, supervision_weight: float) -> tuple[Tensor, Losses]:
        """Return the loss, a scalar, and the terms to log; "loss" is the colour loss alone."""
        interpolated, truth = self.predict(batch)
        loss, terms = self.colour_loss(interpolated.float(), truth)
        return loss, terms

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the interpolated and the true frames for validation, of one shape."""
        times = (batch.t,) if self.model.any_time else ()
        return self.model(batch.first, batch.second, *times), batch.middle


class SepConvObjective(Objective):
    """Sum the colour loss, the flow supervision of the kernels, and the kernel-sum penalty.

    With kernel normalisation the colour loss does not depend on the scale of the kernels; only the
    penalty limits it.
    """

    has_flow_supervision = True
    has_kernel_sum_penalty = True

    def forward(self, batch: Batch, supervision_weight: float) -> tuple[Tensor, Losses]:
        kernels = self.model.kernels(batch.first, batch.second)
        interpolated = self.model.synthesise(batch.first, batch.second, kernels)
        loss, terms = self.colour_loss(interpolated.float(), batch.middle)
        if self.kernel_sum_penalty:
            excess = kernel_sum_excess(kernels)
            loss = loss + self.kernel_sum_penalty * excess
            terms = {**terms, "kernel_sum_penalty": excess.detach()}
        if supervision_weight == 0 or batch.flows is None or batch.confidence is None:
            return loss, terms
        supervision = kernel_flow_loss(kernels, batch.flows, batch.confidence)
        terms = {**terms, "flow_supervision": supervision.detach()}
        return loss + supervision_weight * supervision, terms


def kernel_sum_excess(kernels: SeparableKernels) -> Tensor:
    """Return the mean by which |log(kernel sum)| exceeds the tolerance, a scalar."""
    return functional.relu(kernel_sum(kernels).log().abs() - SUM_TOLERANCE).mean()


class FlowSepObjective(Objective):
    """Sum the colour loss and the flow supervision of all levels."""

    has_flow_supervision = True

    def forward(self, batch: Batch, supervision_weight: float) -> tuple[Tensor, Losses]:
        estimate = self.model.estimate(batch.first, batch.second, batch.t, batch.scale)
        interpolated = self.model.synthesise(batch.first, batch.second, estimate)
        loss, terms = self.colour_loss(interpolated.float(), batch.middle)
        if supervision_weight == 0 or batch.flows is None or batch.confidence is None:
            return loss, terms
        supervision = flow_loss(estimate.flows, batch.flows, batch.confidence)
        terms = {**terms, "flow_supervision": supervision.detach()}
        return loss + supervision_weight * supervision, terms


class AdaConvObjective(Objective):
    """Sum L1 on colour, L1 on gradients (CVPR 2017, section 3.2) and flow supervision.

    Every eighth pixel of a crop is used: these pixels share the strided features of the network, so
    all of them together cost little more than one.
    """

    has_configurable_loss = False
    has_flow_supervision = True

    def forward(self, batch: Batch, supervision_weight: float) -> tuple[Tensor, Losses]:
        logits = self.model.logits(batch.first, batch.second).float()  # (N, h, w, 2*K*K)
        estimate = self._interpolate_neighbours(batch, self.model.softmax(logits))
        size = estimate.shape[-2:]
        truth = take_strided(neighbours(batch.middle), size, border=MARGIN - 1)
        colour = l1(estimate[:, CENTRE], truth[:, CENTRE])
        gradients = l1(estimate - estimate[:, CENTRE, None], truth - truth[:, CENTRE, None])
        loss = colour + gradients * len(NEIGHBOURS)
        if supervision_weight == 0 or batch.flows is None or batch.confidence is None:
            return loss, {"loss": colour.detach()}
        flows = take_strided(batch.flows, size, MARGIN)
        confidence = take_strided(batch.confidence, size, MARGIN)
        supervision = logit_flow_loss(logits, flows, confidence)
        terms = {"loss": colour.detach(), "flow_supervision": supervision.detach()}
        return loss + supervision_weight * supervision, terms

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        kernels = self.model.kernels(batch.first, batch.second)
        frames = torch.stack((batch.first, batch.second), dim=1)
        interpolated = self.model.filter_frames(frames, kernels)
        return interpolated, take_strided(batch.middle, interpolated.shape[-2:], MARGIN)

    def _interpolate_neighbours(self, batch: Batch, kernels: Tensor) -> Tensor:
        """Apply each pixel's kernels to it and its eight neighbours, (N, 9, 3, h, w)."""
        taps = kernels.shape[2]
        border = MARGIN - taps // 2 - 1  # beyond the reach of the neighbours' kernels
        height, width = kernels.shape[4:]
        rows = slice(border, border + (height - 1) * STRIDE + taps + 2)
        columns = slice(border, border + (width - 1) * STRIDE + taps + 2)
        frames = torch.stack((batch.first, batch.second), dim=1)[..., rows, columns]
        inputs = neighbours(frames).flatten(2, 3)
        result = adaptive_convolution(inputs, kernels, stride=STRIDE)  # (N, 27, h, w)
        return result.view(len(result), len(NEIGHBOURS), -1, *result.shape[2:])


OBJECTIVES: dict[type[Network], type[Objective]] = {
    SepConv: SepConvObjective,
    AdaConv: AdaConvObjective,
    FlowSep: FlowSepObjective,
}
"""Objective of each network; others have `Objective`, the colour loss. A network of your own can
be added with an objective of its own."""


def find_objective(network: Network) -> type[Objective]:
    """Return the objective of a network."""
    found = (OBJECTIVES[each] for each in type(network).__mro__ if each in OBJECTIVES)
    return next(found, Objective)


def create_objective(config: TrainConfig, model: Network) -> Objective:
    """Create the objective of a network.

    Raises:
        ConfigError: the network does not support the settings.
    """
    objective = find_objective(model)
    if not objective.has_configurable_loss and config.loss != TrainConfig().loss:
        raise ConfigError(f"{config.model} always uses the loss of its paper: remove loss")
    if config.flow_supervision and not objective.has_flow_supervision:
        raise ConfigError(f"{config.model} has no flow supervision: remove flow_supervision")
    if config.kernel_sum_penalty and not objective.has_kernel_sum_penalty:
        raise ConfigError(f"{config.model} has no penalty on sums: remove kernel_sum_penalty")
    if config.kernel_sum_penalty and not getattr(model.config, "kernel_normalisation", False):
        raise ConfigError(
            f"{config.model} does not use kernel normalisation: remove kernel_sum_penalty"
        )
    return objective(model, ColourLoss(config.loss, config.vgg), config.kernel_sum_penalty)


def take_strided(images: Tensor, size: Sequence[int], border: int) -> Tensor:
    """Return the values (..., h, w) at the pixels that AdaConv interpolates in a crop."""
    height, width = size
    return images[..., border::STRIDE, border::STRIDE][..., :height, :width]
