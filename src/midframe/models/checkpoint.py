"""Weight files: safetensors in half precision, with the network's name, its configuration and the
training as metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict
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


def build_model(name: str, settings: Mapping[str, Any] | None = None) -> Network:
    """Create a network with random weights.

    Args:
        name: one of `NETWORKS`.
        settings: fields of its config that differ from the defaults, under present or former names.

    Raises:
        ValueError: no such network or field, or a value that it cannot have.
    """
    config = build_config(name, settings or {})
    network, _ = NETWORKS[name]
    return network(config)


def build_config(name: str, settings: Mapping[str, Any]) -> Any:
    """Create the config of a network; arguments and errors as for `build_model`."""
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}: choose from {', '.join(NETWORKS)}")
    _, config = NETWORKS[name]
    settings = rename_settings(name, settings)
    unknown = set(settings) - set(config.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"{name} has no setting {sorted(unknown)}: choose from "
            f"{', '.join(config.__dataclass_fields__)}"
        )
    return config(**settings)


def network_name(model: Network) -> str:
    """Return a network's name in `NETWORKS`."""
    return next(name for name, (network, _) in NETWORKS.items() if isinstance(model, network))


def channels_last(model: AnyNetwork) -> AnyNetwork:
    """Convert a network's weights to channels last, the fastest layout for convolutions on a
    CPU."""
    # torch's stubs lack it
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def save_model(model: Network, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a network in half precision, with `facts` about its training. The file appears when it
    is complete."""
    header = {
        "format": "midframe 1",
        "network": network_name(model),
        "form": json.dumps(asdict(model.config)),
        "facts": json.dumps(facts),
    }
    tensors = {key: _to_half(value).contiguous().cpu() for key, value in model.state_dict().items()}
    with atomic_write(path) as unfinished:
        save_file(tensors, unfinished, metadata=header)


def _to_half(value: Tensor) -> Tensor:
    return value.detach().half() if value.is_floating_point() else value


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
        model = build_model(header["network"], json.loads(header["form"]))
        model.load_state_dict(state)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        message = f"{path} is not a whole weights file of midframe ({reason})"
        raise CheckpointError(f"{message}: fetch or train it again") from error
    return channels_last(model.eval().requires_grad_(False))
