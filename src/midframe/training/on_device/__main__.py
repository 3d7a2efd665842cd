"""Train for one leg.

python -m midframe.training.on_device SETTINGS.toml --run FOLDER [--set key=value]
"""

import argparse
import json
import sys
import time
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from midframe.errors import ConfigError, MidframeError
from midframe.training.config import parse_change
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
    settings = tomllib.loads(given.settings.read_text())
    settings.update(parse_change(change) for change in given.set)
    started = time.time()

    def report(entry: dict[str, Any]) -> None:
        print(json.dumps({"seconds": round(time.time() - started, 1), **entry}), flush=True)

    train_leg(config_from(settings), given.run, torch.device(given.device), report)


def config_from(settings: dict[str, Any]) -> LegConfig:
    """Create a config from plain values.

    Raises:
        ConfigError: an unknown name.
    """
    known = [each.name for each in fields(LegConfig)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"no setting {', '.join(unknown)}: choose from {', '.join(known)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    if "shapes" in values:
        values["shapes"] = tuple(
            StepShape(**{**shape, "batch": tuple(shape["batch"])}) for shape in values["shapes"]
        )
    return LegConfig(**values)


if __name__ == "__main__":
    main()
