"""Settings of training on one device."""

from dataclasses import dataclass, field
from typing import Any

from midframe.training.numbers import check_numbers
from midframe.training.on_device.step import StepShape


@dataclass(frozen=True)
class LegConfig:
    """The settings of one leg."""

    clips: tuple[str, ...] = ()
    """Folders of videos; a folder is read once it contains a file `READY`, during the leg too."""
    photographs: tuple[str, ...] = ()
    """Folders of photographs."""
    validation: str = ""
    """Folder of held-out videos."""
    model: str = "flowsep"
    """Name of the network: flowsep or sepconv."""
    init_from: str = ""
    """Initial weights, of a network of this config or, for FlowSep, of a smaller one."""
    resume_from: str = ""
    """Folder of an earlier leg."""
    network: dict[str, Any] = field(default_factory=dict)
    """Fields of the network's config that differ from its defaults."""
    shapes: tuple[StepShape, ...] = (
        StepShape(192, (44, 20), probability=0.5),
        StepShape(384, (14, 8), scale=2, probability=0.3),
        StepShape(320, (14, 10), probability=0.2),
    )
    reductions: tuple[float, ...] = (1.0, 1.5, 2.0)
    """Factors by which batches of clips are downscaled, chosen at random, if clips are large
    enough."""
    overlays: tuple[float, float] = (0.06, 0.2)
    """Probability of an overlay (text, bars) on crops of clips and of photographs."""
    max_frames: int = 200
    """Maximum frames per video."""
    learning_rate: float = 8e-4
    weight_decay: float = 1e-2
    warm_up: int = 150
    """Steps over which the learning rate rises."""
    cooling: float = 0.6
    """Fraction of the time over which the learning rate decays to 0 along a cosine."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights."""
    max_layer_gain: float = 0.0
    """Maximum gain of a layer, see `midframe.training.muon.Muon`; 0: no limit."""
    loss: dict[str, float] = field(default_factory=lambda: {"l1": 1.0, "laplacian": 0.3})
    """Weights of the losses l1, laplacian and mse."""
    kernel_sum_penalty: float = 0.0
    """Weight of the penalty on SepConv's kernel sums, see `midframe.training.objectives`."""
    seconds: float = 60.0
    """Duration of the leg."""
    steps: int = 0
    """If not 0, stop after so many steps, if that is earlier."""
    deadline: float = 0.0
    """If not 0, stop at this time (seconds since 1970), if that is earlier."""
    report_every: float = 15.0
    """Seconds between reports of the losses."""
    validate_every: float = 60.0
    """Seconds between validations."""
    snapshots: int = 0
    """Number of snapshots of the averaged weights, at equal intervals during the leg; see
    `midframe.training.mean_weights`."""
    seed: int = 1

    def __post_init__(self) -> None:
        check_numbers(
            self,
            counts=["max_frames", "reductions"],
            fractions=["overlays", "cooling", "ema_decay"],
            positive=["cooling", "report_every", "validate_every"],
        )
        for shape in self.shapes:
            check_numbers(shape, counts=["size", "scale"], fractions=["probability"])
