"""The network that a run trains."""

from collections.abc import Mapping
from typing import Any

from midframe.errors import ConfigError
from midframe.models.adaconv import PATCH, AdaConv
from midframe.models.checkpoint import (
    build_config,
    build_model,
    channels_last,
    load_model,
    network_name,
)
from midframe.models.flowsep import FlowSep
from midframe.models.flowsep.net2net import widen
from midframe.models.network import Network
from midframe.training.config import TrainConfig
from midframe.training.mean_weights import average_weights


def create_network(config: TrainConfig) -> Network:
    """Create the network that is trained, with random weights or those that `init_from` names.

    Raises:
        ConfigError: the network does not support the settings, or its config is invalid.
        CheckpointError: the weights cannot be read.
    """
    model = _build_or_load(config)
    if config.half_res_probability and model.scale == 1:
        raise ConfigError(
            f"{config.model} does not support half resolution: remove half_res_probability"
        )
    if isinstance(model, FlowSep):
        multiple = model.stride * (2 if config.half_res_probability else 1)
        if any(size % multiple for _, size in config.crops):
            raise ConfigError(f"crops are {config.crops}: sizes must be multiples of {multiple}")
    if isinstance(model, AdaConv) and min(size for _, size in config.crops) < PATCH:
        raise ConfigError(f"crops are {config.crops}: sizes must be {PATCH} or more for adaconv")
    return model


def _build_or_load(config: TrainConfig) -> Network:
    if not config.init_from:
        try:
            return channels_last(build_model(config.model, config.network))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"network is {config.network}: {error}") from error
    names = [name.strip() for name in config.init_from.split(",")]
    model = average_weights([load_model(name) for name in names])
    if config.model != network_name(model):
        raise ConfigError(
            f"model is {config.model}, but {config.init_from} is {network_name(model)}: set model "
            "to that, or remove init_from"
        )
    if config.network:
        model = apply_network_settings(model, config.network, config.init_from)
    return model.train().requires_grad_(True)


def apply_network_settings(model: Network, network: Mapping[str, Any], init_from: str) -> Network:
    """Return trained weights as a network with other settings; FlowSep is widened if necessary.

    Args:
        model: with the trained weights.
        network: settings of its config.
        init_from: names of the weights, for messages.

    Raises:
        ConfigError: the weights do not fit the settings.
    """
    try:
        wanted = build_config(network_name(model), network)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"network is {network}: {error}") from error
    if wanted == model.config:
        return model
    mismatch = f"{init_from} has another config than network describes"
    if not isinstance(model, FlowSep):
        raise ConfigError(f"{mismatch}: remove network, or train from random weights")
    try:
        return channels_last(widen(model, wanted))
    except ValueError as error:
        raise ConfigError(f"{mismatch}: {error}") from error
