"""Weight files: safetensors in half precision, with the network's name, its configuration and the
training as metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from midframe.defaults import DEFAULT_MODEL
from midframe.errors import CheckpointError
from midframe.models.adaconv import AdaConv, AdaConvConfig
from midframe.models.aliases import rename_settings
from midframe.models.flowsep import FlowSep, FlowSepConfig
from midframe.models.network import Network
from midframe.models.sepconv import SepConv, SepConvConfig
from midframe.models.shipped import find_weights
from midframe.outputs import atomic_write

AnyNetwork = TypeVar("AnyNetwork", bound=Network)

NETWORKS: dict[str, tuple[type[Network], type[Any]]] = {
    "adaconv": (AdaConv, AdaConvConfig),
    "flowsep": (FlowSep, FlowSepConfig),
    "sepconv": (SepConv, SepConvConfig),
}
"""Every network by name, with the dataclass of its configuration."""
CONFIG, FORMER_CONFIG = "config", "form"
"""Keys of the configuration in the metadata of files, the second one of older versions."""
ENTRY_POINTS = "midframe.networks"
"""Group of the entry points of packages with networks of their own: the name of a network, and the
module that registers it when it is imported."""


def register_network(name: str, network: type[Network], config: type[Any]) -> None:
    """Add a network of your own, so that it can be built, trained, saved and loaded by its name.

    A package with an entry point of this name in the group `midframe.networks`, which leads to the
    module that calls this function, makes it available to the command line too.

    Args:
        name: for `build_model`, the setting `model` of a training, and weight files.
        network: a class with a constructor that takes a config, which it keeps in `config`.
        config: a dataclass with a default for every field; values are such as JSON has.

    Raises:
        ValueError: another network has this name.
    """
    if NETWORKS.setdefault(name, (network, config)) != (network, config):
        raise ValueError(f"there is another network {name!r}: choose another name")


def find_network(name: str) -> tuple[type[Network], type[Any]]:
    """Return a network and the dataclass of its configuration.

    Raises:
        ValueError: no network has this name.
    """
    if name not in NETWORKS:
        for entry in entry_points(group=ENTRY_POINTS, name=name):
            entry.load()
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}: choose from {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build_model(name: str, settings: Mapping[str, Any] | None = None) -> Network:
    """Create a network with random weights.

    Args:
        name: one of `NETWORKS`, which are architectures. The default config of "flowsep" is that of
            the weights flowsep-small; `load_model("flowsep").config` is the larger one.
        settings: fields of its config that differ from the defaults, under present or former names.

    Raises:
        ValueError: no such network or field, or a value that it cannot have.
    """
    config = build_config(name, settings or {})
    network, _ = find_network(name)
    return network(config)


def build_config(name: str, settings: Mapping[str, Any]) -> Any:
    """Create the config of a network; arguments and errors as for `build_model`."""
    _, config = find_network(name)
    settings = rename_settings(name, settings)
    unknown = set(settings) - set(config.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"{name} has no setting {sorted(unknown)}: choose from "
            f"{', '.join(config.__dataclass_fields__)}"
        )
    return config(**settings)


def network_name(model: Network) -> str:
    """Return a network's name in `NETWORKS`.

    Raises:
        ValueError: it is not registered.
    """
    names = {network: name for name, (network, _) in NETWORKS.items()}
    name = next((names[each] for each in type(model).__mro__ if each in names), None)
    if name is None:
        raise ValueError(
            f"{type(model).__name__} has no name: add it with register_network(name, network, "
            "config), or save it by torch.save"
        )
    return name


def channels_last(model: AnyNetwork) -> AnyNetwork:
    """Convert a network's weights to channels last, the fastest layout for convolutions on a
    CPU."""
    # torch's stubs lack it
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def save_model(model: Network, path: Path, training: Mapping[str, Any]) -> None:
    """Write a network in half precision, with a description of its training. The file appears when
    it is complete. Weights that half precision cannot hold keep their type.

    Raises:
        ValueError: the network is not registered (see `register_network`).
    """
    header = {
        "format": "midframe 1",
        "network": network_name(model),
        CONFIG: json.dumps(asdict(model.config)),
        "training": json.dumps(training),
    }
    tensors = {key: _to_half(value).contiguous().cpu() for key, value in model.state_dict().items()}
    with atomic_write(path) as unfinished:
        save_file(tensors, unfinished, metadata=header)


def _to_half(value: Tensor) -> Tensor:
    """Return weights in half precision, or as they are if that cannot hold one of them."""
    half = value.detach().half() if value.is_floating_point() else value
    return half if half.isfinite().all() else value.detach()


def load_model(name_or_file: str | Path = DEFAULT_MODEL) -> Network:
    """Load a network by the name of shipped weights or from a file, in float32, for inference.

    Raises:
        CheckpointError: there is no such name or file, or the file is damaged or of another kind.

    Examples:
        >>> model = load_model("sepconv")
        >>> model.config.taps
        51
    """
    path = find_weights(name_or_file)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
        config = header[CONFIG] if CONFIG in header else header[FORMER_CONFIG]
        model = build_model(header["network"], json.loads(config))
        model.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        message = f"{path} is damaged, or is no weights file of midframe ({reason})"
        raise CheckpointError(f"{message}: download or train it again") from error
    return channels_last(model.eval().requires_grad_(False))
