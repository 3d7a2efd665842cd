"""Settings of a training: a dataclass, read from TOML, changed by `--set key=value`."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from midframe.errors import ConfigError


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a training depends on, beside the data set itself."""

    dataset: str = "datasets/footage"
    """Folder made by `midframe dataset create`."""
    model: str = "sepconv"
    network: dict[str, Any] = field(default_factory=dict)
    """Fields of the network's config that differ from its defaults."""
    initial: str = ""
    """Weights to start from, by name or file; of several, separated by commas, their mean; fresh ones if empty.
    FlowSep's may be of a smaller form than `network` asks for, with other taps and resampling (`models/growth.py`)."""
    steps: int = 20000
    """Optimiser steps in all."""
    minutes: float = 0.0
    """If not 0: end after this time, with the schedule stretched to it. Such a training cannot be repeated exactly."""
    batch: int = 16
    """Samples a step (SepConv: 16)."""
    crops: tuple[tuple[float, int], ...] = ((0.0, 128),)
    """(share of the training done, crop size in pixels): the size from then on. A multiple of 32 wastes nothing."""
    made_share: float = 0.25
    """Share of the samples that come from photographs and drawings with made motion, where the data set has some."""
    half_share: float = 0.0
    """Share of the steps in which the frames are read at half size, by a network that can, as large ones are later."""
    max_shift: int = 10
    """Opposite shift of the outer crops in pixels, along each axis."""
    shuffle_channels: float = 0.5
    """Share of the samples whose colour channels change places."""
    fades: float = 0.0
    """Share of the samples that fade to or from black, white or a grey."""
    loss: dict[str, Any] = field(default_factory=lambda: {"l1": 1.0})
    """Weight of each loss of colour: l1, mse, laplacian, census, gradient, feature. AdaConv has that of its paper."""
    vgg: str = ""
    """VGG-19 in safetensors, for the loss feature."""
    optimiser: str = "adamax"
    """adamax (SepConv, with 1e-3), adamw or muon."""
    learning_rate: float = 1e-3
    warm_up: int = 200
    """Steps in which the learning rate rises from 0; after them it falls to 0 along a cosine."""
    weight_decay: float = 0.0
    largest_gain: float = 0.0
    """How many times a layer may enlarge its input: Muon holds weights below it. He's have 1.41; 0 is no limit."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.999
    """Decay of the moving average of the weights, which is what is saved; 0 for none."""
    guide: float = 0.0
    """Weight of the loss that teaches kernels where optical flow found each pixel; 0 for none."""
    guide_share: float = 0.3
    """Share of the training over which that weight falls to 0."""
    tether: float = 0.0
    """Weight of the loss that keeps the sums of SepConv's kernels near one: how far |their logarithm| is above 1."""
    precision: str = "auto"
    """Lightning Fabric's name of a precision: 32-true, bf16-mixed, 16-mixed. Auto takes bf16-mixed where the device has
    instructions for it: where it has none it is many times slower than 32-true."""
    workers: int = 1
    """Processes that prepare samples, for each device."""
    devices: int = 1
    """Graphics cards (or processes, on a CPU) that share each batch; `batch` is theirs together."""
    machines: int = 1
    """Machines with so many devices each, started by torchrun."""
    evaluate_every: int = 1000
    """Steps between validations, which also write checkpoints."""
    validation_patches: int = 192
    validation_frames: int = 8
    """Whole frames in a validation."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimiser not in ("adamax", "adamw", "muon"):
            raise ConfigError(f"optimiser is {self.optimiser!r}: adamax, adamw or muon is needed")
        if self.largest_gain and self.optimiser != "muon":
            raise ConfigError(f"{self.optimiser} has no largest_gain: leave it out, or take muon")
        if not self.crops or self.crops[0][0] != 0.0:
            raise ConfigError(f"crops are {self.crops}: the first must begin at 0.0")
        if min(self.steps, self.batch, self.evaluate_every, self.devices, self.machines) < 1:
            raise ConfigError("steps, batch, evaluate_every, devices and machines must be 1 or more")
        if self.batch % (self.devices * self.machines):
            raise ConfigError(f"batch is {self.batch}: a multiple of {self.devices * self.machines} devices is needed")
        for name in ("made_share", "half_share", "shuffle_channels", "fades"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: from 0 to 1 is needed")
        if not self.loss or not all(isinstance(weight, (int, float)) for weight in self.loss.values()):
            raise ConfigError(f"loss is {self.loss}: a weight for each loss is needed, as in {{ l1 = 1.0 }}")


def load_config(path: Path, changes: Iterable[str] = ()) -> TrainConfig:
    """Read settings from a TOML file and change them by `key=value` texts (`network.taps=25` reaches inside).

    Raises:
        ConfigError: the file cannot be read, or holds an unknown name or a wrong type.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): name a file as in configs/") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for change in changes:
        _change(settings, change)
    return config_from(settings)


def config_from(settings: Mapping[str, Any]) -> TrainConfig:
    """Make a config from plain values, checking names and types."""
    known = {each.name: each for each in fields(TrainConfig)}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"there is no setting {', '.join(unknown)}: choose from {', '.join(known)}")
    return TrainConfig(**{name: _typed(name, value, _default(known[name])) for name, value in settings.items()})


def _change(settings: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change}: key=value is needed")
    *parents, last = name.strip().split(".")
    for parent in parents:
        settings = settings.setdefault(parent, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"--set {change}: {parent} holds no settings of its own")
    try:
        settings[last] = json.loads(text)
    except json.JSONDecodeError:
        settings[last] = text


def _default(setting: Any) -> Any:
    return setting.default if setting.default is not MISSING else setting.default_factory()


def _typed(name: str, value: Any, default: Any) -> Any:
    if name == "crops":
        return _crops(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ConfigError(f"{name} is {value!r}: {type(default).__name__} is needed, as in {default!r}")
    return value


def _crops(value: Any) -> tuple[tuple[float, int], ...]:
    try:
        return tuple((float(share), int(size)) for share, size in value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"crops are {value!r}: a list of [share, size] is needed") from error
