"""Run training steps, captured as one CUDA graph per crop size."""

from dataclasses import dataclass

import torch
from torch import Tensor

from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.steps import ReferenceSteps
from midframe.models.sepconv import SepConv
from midframe.training.losses import l1, laplacian, mse
from midframe.training.objectives import kernel_sum_excess
from midframe.training.on_device.crops import Crops
from midframe.training.on_device.optimiser import GraphedMuon

WARM_UP_RUNS = 3
"""Runs before the capture, in which libraries allocate memory and choose kernels."""
LOSSES = "l1", "laplacian", "mse", "kernel_sum_penalty"
"""Names of the losses; the last one is 0 for FlowSep."""


@dataclass(frozen=True)
class StepShape:
    """The sizes that one CUDA graph is captured for."""

    size: int
    """Crop size in pixels, a multiple of the network's stride times the scale."""
    batch: tuple[int, int]
    """Number of crops of clips and of photographs."""
    border: int = 16
    """Pixels at the edge of crops that the loss ignores: content there may be in neither outer
    frame."""
    scale: int = 1
    """Factor by which the network downscales the frames."""
    probability: float = 1.0
    """Probability of this shape per step."""

    @property
    def inner(self) -> slice:
        """Return the range of rows and columns that the loss uses."""
        return slice(self.border, self.size - self.border)


class GraphedStep:
    """Run forward, backward and optimiser step for crops of one shape.

    Args:
        model: the network; its parameters have gradients.
        optimiser: optimiser of the network, shared by the steps of all shapes.
        shape: the sizes.
    """

    def __init__(self, model: FlowSep | SepConv, optimiser: GraphedMuon, shape: StepShape) -> None:
        self.model = model
        self.optimiser = optimiser
        self.shape = shape
        device = optimiser.rate.device
        count, size = sum(shape.batch), shape.size
        frames = [torch.zeros(count, 3, size, size, device=device) for _ in range(3)]
        self.inputs = Crops(
            frames[0], frames[1], frames[2], torch.full((count,), 0.5, device=device)
        )
        self.loss_weights = torch.zeros(len(LOSSES), device=device)
        self.total = torch.zeros(len(LOSSES) + 1, device=device)
        """Sums of the losses, and the number of steps."""
        self.graph: torch.cuda.CUDAGraph | None = None

    def run(self, crops: Crops) -> None:
        """Run one step on crops of this shape."""
        for own, given in zip(self.inputs, crops, strict=True):
            own.copy_(given)
        if self.optimiser.rate.device.type != "cuda":
            self._compute()
            return
        if self.graph is None:
            self.capture()
        assert self.graph is not None
        self.graph.replay()

    def random_crops(self) -> Crops:
        """Return noise of this shape."""
        frames = [torch.rand_like(frame) for frame in self.inputs[:3]]
        return Crops(frames[0], frames[1], frames[2], torch.full_like(self.inputs.t, 0.5))

    def capture(self) -> None:
        """Capture the step; the learning rate must be 0, as the runs before are real steps."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._compute()

    def _compute(self) -> None:
        if isinstance(self.model, FlowSep):
            interpolated = interpolate_flowsep(self.model, self.inputs, self.shape)
            penalty = interpolated.new_zeros(())
        else:
            interpolated, penalty = interpolate_sepconv(self.model, self.inputs, self.shape)
        inner = self.shape.inner
        truth = self.inputs.middle[..., inner, inner]
        losses = torch.stack((*_losses(interpolated.float(), truth), penalty))
        (losses * self.loss_weights).sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.total += torch.cat((losses.detach(), torch.ones_like(losses[:1])))

    def mean_losses(self) -> dict[str, float]:
        """Return the mean losses since the last call."""
        *sums, count = self.total.tolist()
        self.total.zero_()
        return {
            name: round(value / max(1, count), 5) for name, value in zip(LOSSES, sums, strict=True)
        }


def interpolate_flowsep(model: FlowSep, crops: Crops, shape: StepShape) -> Tensor:
    """Return the inner pixels of the interpolated frames, (N, 3, s, s)."""
    with _autocast(crops.first):
        estimate = model.estimate(crops.first, crops.second, crops.t, shape.scale)
    return ReferenceSteps().synthesise(
        crops.first,
        crops.second,
        estimate.fields,
        2 * shape.scale,
        shape.inner,
        shape.inner,
        estimate.statistics.deviation,
        resampling=model.config.resampling,
    )


def interpolate_sepconv(model: SepConv, crops: Crops, shape: StepShape) -> tuple[Tensor, Tensor]:
    """Return the inner pixels of the interpolated frames, (N, 3, s, s), and the kernel-sum
    penalty."""
    with _autocast(crops.first):
        kernels = model.kernels(crops.first, crops.second)
        interpolated = model.synthesise(crops.first, crops.second, kernels)
    return interpolated[..., shape.inner, shape.inner], kernel_sum_excess(kernels)


def _autocast(frames: Tensor) -> torch.autocast:
    return torch.autocast(frames.device.type, torch.bfloat16, enabled=frames.is_cuda)


def _losses(interpolated: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return l1(interpolated, truth), laplacian(interpolated, truth), mse(interpolated, truth)
