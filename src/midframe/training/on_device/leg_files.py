"""The files of a leg: averaged weights for use, and what the next leg needs."""

from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from midframe.errors import ConfigError
from midframe.models.checkpoint import save_model
from midframe.outputs import atomic_write
from midframe.training.on_device.leg_config import LegConfig
from midframe.training.on_device.leg_network import TrainedNetwork
from midframe.training.on_device.optimiser import GraphedMuon

EMA_FILE = "average.safetensors"
"""Moving average of the weights in full precision."""
WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.safetensors"
"""State of the optimiser."""


def save(
    ema_model: TrainedNetwork,
    model: TrainedNetwork,
    optimiser: GraphedMuon,
    folder: Path,
    config: LegConfig,
) -> None:
    """Write the averaged weights in half precision, and everything that the next leg needs."""
    save_average(ema_model, optimiser, folder / f"{config.model}.safetensors", config)
    names = [name for name, _ in model.named_parameters()]
    _save(dict(zip(names, optimiser.average, strict=True)), folder / EMA_FILE)
    _save(dict(model.named_parameters()), folder / WEIGHTS_FILE)
    _save(optimiser.state(), folder / STATE_FILE)


def save_average(
    ema_model: TrainedNetwork, optimiser: GraphedMuon, path: Path, config: LegConfig
) -> None:
    """Write the averaged weights in half precision."""
    with torch.no_grad():
        for own, mean in zip(ema_model.parameters(), optimiser.average, strict=True):
            own.copy_(mean)
    save_model(ema_model, path, {"leg": asdict(config)})


def resume(model: TrainedNetwork, optimiser: GraphedMuon, folder: Path) -> None:
    """Restore the weights and the state that an earlier leg wrote.

    Raises:
        ConfigError: they are those of another network.
    """
    weights = load_file(folder / WEIGHTS_FILE)
    if weights.keys() != dict(model.named_parameters()).keys():
        raise ConfigError(f"resume_from: {folder} has the weights of another network")
    average = load_file(folder / EMA_FILE)
    with torch.no_grad():
        for (name, own), mean in zip(model.named_parameters(), optimiser.average, strict=True):
            own.copy_(weights[name])
            mean.copy_(average[name])
    optimiser.load_state(load_file(folder / STATE_FILE))


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    with atomic_write(path) as unfinished:
        save_file(
            {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()},
            unfinished,
        )
