"""Settings of a training run: a dataclass, read from TOML, changed by `--set key=value`."""

import json
import logging
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from midframe.errors import ConfigError
from midframe.training.aliases import rename_setting, rename_settings
from midframe.training.numbers import check_numbers

log = logging.getLogger(__name__)

COUNTS = ("steps", "batch", "devices", "machines", "evaluate_every")
"""Settings that are 1 or more."""
FRACTIONS = (
    "synthetic_fraction",
    "half_res_probability",
    "shuffle_channels",
    "fades",
    "ema_decay",
)
"""Settings between 0 and 1."""
CHANGEABLE = ("steps", "minutes", "evaluate_every", "workers", "dataset", "devices", "machines")
"""Settings that may change when a run is resumed: the length of the run and the machine that it
runs on. The samples of `dataset` must be the same in another place."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a training run depends on, except the dataset itself."""

    dataset: str = "datasets/footage"
    """Folder written by `midframe dataset create`."""
    model: str = "sepconv"
    """Architecture: sepconv, adaconv or flowsep."""
    network: dict[str, Any] = field(default_factory=dict)
    """Fields of the network's config that differ from its defaults."""
    init_from: str = ""
    """Initial weights, a name or a file; several, separated by commas, are averaged. Empty: random
    initialisation. FlowSep's weights may be of a smaller network than `network` describes, or of
    one with other taps and resampling; they are widened (see `midframe.models`)."""
    steps: int = 20000
    """Total number of optimiser steps."""
    minutes: float = 0.0
    """If not 0, stop after this time; the schedule is scaled to it. Such a run is not
    reproducible."""
    batch: int = 16
    """Samples per step, over all devices (SepConv: 16)."""
    crops: tuple[tuple[float, int], ...] = ((0.0, 128),)
    """Schedule of crop sizes: pairs of the fraction of the run from which the size applies, and the
    size in pixels. Multiples of 32 need no padding."""
    synthetic_fraction: float = 0.25
    """Fraction of the samples that have synthetic motion (photographs, drawings), if there are
    any."""
    half_res_probability: float = 0.0
    """Probability that a batch is processed at half resolution, as large frames are at inference.
    FlowSep only."""
    max_shift: int = 10
    """Largest opposite shift of the outer frames' crops in pixels, along each axis."""
    shuffle_channels: float = 0.5
    """Probability that the colour channels of a sample are permuted."""
    fades: float = 0.0
    """Probability that a sample fades to or from black, white or a grey."""
    loss: dict[str, Any] = field(default_factory=lambda: {"l1": 1.0})
    """Weight of each reconstruction loss: l1, mse, laplacian, census, gradient, feature. AdaConv
    always uses the loss of its paper."""
    vgg: str = ""
    """Safetensors file with the weights of VGG-19, for the loss `feature`."""
    optimiser: str = "adamax"
    """adamax (SepConv, with 1e-3), adamw or muon."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    warm_up: int = 200
    """Steps over which the learning rate rises from 0; it then decays to 0 along a cosine."""
    weight_decay: float = 0.0
    max_layer_gain: float = 0.0
    """Limit on the gain of a layer, which Muon enforces by scaling its weights. He initialisation
    has a gain of 1.41. 0: no limit."""
    gradient_clip: float = 1.0
    """Maximum norm of the gradient. 0: no limit."""
    ema_decay: float = 0.999
    """Decay of the exponential moving average (EMA) of the weights, which is validated and saved.
    0: no averaging."""
    flow_supervision: float = 0.0
    """Weight of the loss that compares kernels or flows with optical flow (pseudo-labels). 0:
    none."""
    flow_supervision_fraction: float = 0.3
    """Fraction of the run over which that weight decays linearly to 0."""
    kernel_sum_penalty: float = 0.0
    """Weight of the penalty on the sums of SepConv's kernels: by how much |log(sum)| exceeds 1."""
    precision: str = "auto"
    """Lightning Fabric's name of a precision: 32-true, bf16-mixed or 16-mixed. auto: bf16-mixed
    where the device has bfloat16 instructions, else 32-true, which is many times faster there."""
    workers: int = 1
    """Data-loading processes per device."""
    devices: int = 1
    """GPUs (on a CPU: processes) per machine that share each batch."""
    machines: int = 1
    """Machines with `devices` devices each, started by torchrun."""
    evaluate_every: int = 1000
    """Steps between validations; each validation writes a checkpoint."""
    validation_patches: int = 192
    """Number of held-out patches per validation."""
    validation_frames: int = 8
    """Number of full-size held-out frames per validation."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(
            self, counts=COUNTS, fractions=FRACTIONS, positive=["flow_supervision_fraction"]
        )
        if self.optimiser not in ("adamax", "adamw", "muon"):
            raise ConfigError(f"optimiser is {self.optimiser!r}: choose adamax, adamw or muon")
        if self.max_layer_gain and self.optimiser != "muon":
            raise ConfigError(
                f"{self.optimiser} does not support max_layer_gain: remove it, or use muon"
            )
        if not self.crops or self.crops[0][0] != 0.0:
            raise ConfigError(f"crops are {self.crops}: the first must start at 0.0")
        starts = [start for start, _ in self.crops]
        if starts != sorted(starts) or starts[-1] > 1 or min(size for _, size in self.crops) < 1:
            raise ConfigError(
                f"crops are {self.crops}: give fractions from 0 to 1 in ascending order, and sizes "
                "of 1 or more"
            )
        if self.ema_decay == 1:
            raise ConfigError("ema_decay is 1: it must be below 1, or nothing is averaged")
        devices = self.devices * self.machines
        if self.batch % devices:
            raise ConfigError(f"batch is {self.batch}: it must be a multiple of {devices} devices")
        weights = self.loss.values()
        numbers = all(isinstance(weight, (int, float)) and weight >= 0 for weight in weights)
        if not numbers or not 0 < sum(weights) < math.inf:
            raise ConfigError(
                f"loss is {self.loss}: give a weight above 0 for each loss, as in {{ l1 = 1.0 }}"
            )


def load_config(path: Path, changes: Iterable[str] = ()) -> TrainConfig:
    """Read settings from a TOML file, or the JSON file of a run, and apply `key=value` changes.

    A dotted key such as `network.taps=25` changes a field of a table. Old names of settings are
    accepted and logged (see `midframe.training.aliases`).

    Raises:
        ConfigError: the file cannot be read, or holds an unknown name or a value of a wrong type.
    """
    given = read_settings(path)
    settings = rename_settings(given)
    _log_old_names(given)
    changed = {apply_change(settings, change) for change in changes}
    if "steps" in changed and "minutes" not in changed and settings.get("minutes"):
        raise ConfigError(
            f"--set steps: minutes is {settings['minutes']} in {path}, which decides when the "
            "training ends: add --set minutes=0 to train by steps"
        )
    return config_from(settings)


def read_settings(path: Path) -> dict[str, Any]:
    """Read plain values from a TOML file, or from a JSON file.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Notepad writes a BOM
        found: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}): name a file as in configs/"
        raise ConfigError(message) from error
    except ValueError as error:  # UnicodeDecodeError too
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"{path} is not {kind}: {error}") from error
    return found


def config_from(settings: Mapping[str, Any]) -> TrainConfig:
    """Create a config from plain values; old names are accepted.

    Raises:
        ConfigError: an unknown name or a value of a wrong type.
    """
    settings = rename_settings(settings)
    known = {each.name: each for each in fields(TrainConfig)}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"no setting {', '.join(unknown)}: choose from {', '.join(known)}")
    values = {name: convert(name, each, default_of(known[name])) for name, each in settings.items()}
    return TrainConfig(**values)


def find_differences(config: TrainConfig, other: TrainConfig) -> list[str]:
    """Return the names of the settings that differ."""
    names = (each.name for each in fields(TrainConfig))
    return [name for name in names if getattr(config, name) != getattr(other, name)]


def apply_change(settings: dict[str, Any], change: str) -> str:
    """Apply `change` ("key=value") to settings; return the name of the setting, or of the table.

    Raises:
        ConfigError: there is no "=", or a part of a dotted key is no table.
    """
    name, value = parse_change(change)
    first, *others = name.strip().split(".")
    *parents, last = rename_setting(first), *others
    _log_old_names([first])
    for parent in parents:
        settings = settings.setdefault(parent, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"--set {change}: {parent} holds no settings of its own")
    settings[last] = value
    return rename_setting(first)


def parse_change(change: str) -> tuple[str, Any]:
    """Return the key and the value of "key=value"; the value is JSON, or text without quotes.

    Raises:
        ConfigError: there is no "=".
    """
    name, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change}: give key=value")
    try:
        return name, json.loads(text)
    except json.JSONDecodeError:
        return name, text


def _log_old_names(names: Iterable[str]) -> None:
    for name in names:
        if rename_setting(name) != name:
            log.warning("setting %s was renamed to %s", name, rename_setting(name))


def default_of(setting: Any) -> Any:
    """Return the default of a field of a dataclass."""
    return setting.default if setting.default is not MISSING else setting.default_factory()


def convert(name: str, value: Any, default: Any) -> Any:
    """Return the value in the type of the default; integers are accepted for floats, and lists for
    tuples.

    Raises:
        ConfigError: the value has another type.
    """
    if name == "crops":
        return _convert_crops(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name} is {value!r}: give a list")
        return tuple(value)
    if type(value) is not type(default):
        raise ConfigError(
            f"{name} is {value!r}: give a value of type {type(default).__name__}, as {default!r}"
        )
    return value


def _convert_crops(value: Any) -> tuple[tuple[float, int], ...]:
    try:
        return tuple((float(start), int(size)) for start, size in value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"crops are {value!r}: give a list of [fraction, size]") from error
