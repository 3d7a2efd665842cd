"""Train for one leg.

python -m midframe.training.on_device SETTINGS.toml --run FOLDER [--set key=value]
"""

import argparse
import json
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from midframe.errors import ConfigError, MidframeError
from midframe.training.config import apply_change, convert, default_of, read_settings
from midframe.training.on_device.leg import train_leg
from midframe.training.on_device.leg_config import LegConfig
from midframe.training.on_device.step import StepShape


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train a network for one leg, with all data on the device."
    )
    parser.add_argument("settings", type=Path, help="TOML file with the fields of LegConfig")
    parser.add_argument("--run", type=Path, required=True, help="output folder")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    try:
        _train(given)
    except MidframeError as error:
        sys.exit(str(error))


def _train(given: argparse.Namespace) -> None:
    settings = read_settings(given.settings)
    for change in given.set:
        apply_change(settings, change)
    started = time.time()

    def report(entry: dict[str, Any]) -> None:
        print(json.dumps({"seconds": round(time.time() - started, 1), **entry}), flush=True)

    train_leg(config_from(settings), given.run, torch.device(given.device), report)


def config_from(settings: dict[str, Any]) -> LegConfig:
    """Create a config from plain values.

    Raises:
        ConfigError: an unknown name or a value of a wrong type.
    """
    known = {each.name: each for each in fields(LegConfig)}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"no setting {', '.join(unknown)}: choose from {', '.join(known)}")
    values = {name: convert(name, each, default_of(known[name])) for name, each in settings.items()}
    if "shapes" in values:
        values["shapes"] = tuple(map(_shape_from, values["shapes"]))
    return LegConfig(**values)


def _shape_from(shape: Any) -> StepShape:
    try:
        return StepShape(**{**shape, "batch": tuple(shape["batch"])})
    except (TypeError, KeyError) as error:
        names = ", ".join(each.name for each in fields(StepShape))
        raise ConfigError(
            f"shapes has {shape!r}: give tables of {names}, as in {{size = 192, batch = [44, 20]}}"
        ) from error


if __name__ == "__main__":
    main()
