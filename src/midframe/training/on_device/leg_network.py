"""The network that a leg trains."""

from midframe.errors import ConfigError
from midframe.models.checkpoint import build_config, load_model
from midframe.models.flowsep import FlowSep
from midframe.models.sepconv import SepConv
from midframe.training.networks import apply_network_settings
from midframe.training.on_device.leg_config import LegConfig

TrainedNetwork = FlowSep | SepConv
MODELS: dict[str, type[TrainedNetwork]] = {"flowsep": FlowSep, "sepconv": SepConv}
"""Networks that a leg can train."""


def create_network(config: LegConfig) -> TrainedNetwork:
    """Create the network, with the weights that `init_from` names.

    Raises:
        ConfigError: another network than FlowSep or SepConv, weights of another network, or shapes
            that SepConv does not support.
    """
    if config.model not in MODELS:
        raise ConfigError(f"model is {config.model!r}: choose from {', '.join(MODELS)}")
    if config.model == "sepconv" and any(shape.scale > 1 for shape in config.shapes):
        raise ConfigError("`shapes` has a scale above 1, which only flowsep supports: drop it")
    if not config.init_from:
        return MODELS[config.model](build_config(config.model, config.network))
    model = load_model(config.init_from)
    if not isinstance(model, MODELS[config.model]):
        raise ConfigError(f"init_from: {config.init_from} are weights of another network")
    model = apply_network_settings(model, config.network, config.init_from)
    assert isinstance(model, TrainedNetwork), "of the same class"
    return model.float().train().requires_grad_(True)
