"""Average the weights of several networks of one config.

python -m midframe.training.mean_weights OUT.safetensors WEIGHTS=FRACTION WEIGHTS=FRACTION ...

The mean of a network before and after a leg of training, or of snapshots within it, is often better
than each (the notebook of flowsep has figures).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from midframe.errors import ConfigError, MidframeError
from midframe.models.checkpoint import load_model, save_model
from midframe.models.network import Network
from midframe.outputs import check_output_file


def average_weights(models: Sequence[Network], fractions: Sequence[float] | None = None) -> Network:
    """Return the first network with the weighted mean of all weights.

    Args:
        models: networks of one config; the first one is changed.
        fractions: weight of each network in the mean, with a sum of 1; None: equal weights.

    Raises:
        ConfigError: the networks have different configs, or the sum is not 1.
    """
    first, *others = models
    if any((type(other), other.config) != (type(first), first.config) for other in others):
        raise ConfigError("networks with different configs cannot be averaged")
    fractions = fractions or [1 / len(models)] * len(models)
    if abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            f"the fractions {list(fractions)} have a sum of {sum(fractions):g}, not 1"
        )
    states = [model.state_dict() for model in models]
    mean = {
        name: sum(
            fraction * state[name].double()
            for fraction, state in zip(fractions, states, strict=True)
        ).to(value.dtype)
        for name, value in states[0].items()
    }
    first.load_state_dict(mean)
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description="Average weights of networks of one config.")
    parser.add_argument("target", type=Path, metavar="OUT", help="a .safetensors file")
    parser.add_argument("weights", nargs="+", metavar="WEIGHTS=FRACTION")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    given = parser.parse_args()
    try:
        fractions = parse_fractions(given.weights)
        check_output_file(given.target, inputs=map(Path, fractions), overwrite=given.overwrite)
        mean = average_weights([load_model(name) for name in fractions], [*fractions.values()])
        save_model(mean, given.target, {"mean_of": fractions})
    except MidframeError as error:
        parser.exit(1, f"{error}\n")


def parse_fractions(texts: Sequence[str]) -> dict[str, float]:
    """Parse texts such as "runs/leg2/flowsep.safetensors=0.65".

    Raises:
        ConfigError: a text is not of this form.
    """
    pairs = [text.rpartition("=") for text in texts]
    try:
        return {name: float(fraction) for name, _, fraction in pairs}
    except ValueError as error:
        raise ConfigError(
            f"{' '.join(texts)}: names and fractions are needed, as in flowsep=0.35"
        ) from error


if __name__ == "__main__":
    main()
