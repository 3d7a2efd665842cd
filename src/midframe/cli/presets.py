"""Presets (TOML files with options, shipped or the user's own), and the command that lists them."""

from pathlib import Path
from typing import Any

import typer

import midframe
from midframe.cli.config import load_defaults
from midframe.cli.shared import command, out
from midframe.errors import ConfigError
from midframe.options import QUALITIES

FOLDER = Path(midframe.__file__).parent / "presets"
OPTION = "--preset-file"
EXCLUSIVE = ("factor", "fps")
"""Parameters of which only one can be given."""


@command()
def presets() -> None:
    """List the shipped presets and their options, for --preset-file."""
    for name, path in shipped_presets().items():
        description, *options = path.read_text(encoding="utf-8").splitlines()
        out.print(
            f"[bold]{name}[/bold]: {description.removeprefix('# ')}",
            soft_wrap=True,
            highlight=False,
        )
        for option in options:
            out.print(f"  {option}", soft_wrap=True, highlight=False, markup=False)


def shipped_presets() -> dict[str, Path]:
    """Return the files of the shipped presets, by name; their first lines are descriptions."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def find_preset(name: str) -> Path:
    """Return the file of a preset.

    Args:
        name: of a shipped preset, or the path of a TOML file.

    Raises:
        ConfigError: there is neither.
    """
    shipped = shipped_presets()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if not path.is_file():
        raise ConfigError(
            f"{OPTION} {name}: there is no such preset or file: choose from {', '.join(shipped)}, "
            "or name a TOML file"
        )
    return path


def apply_preset(context: typer.Context, name: str | None) -> str | None:
    """Set the defaults of other options to the values in a preset.

    A preset takes precedence over the configuration file, and the command line over the preset. A
    preset has the format of a configuration file.

    Raises:
        ConfigError: the preset cannot be read, has a key that is not an option, or has no option of
            this command.
    """
    if name is None:
        return None
    path = find_preset(name)
    assert context.parent, "commands belong to a group"
    values = load_defaults(path, context.parent.command, option=OPTION)[str(context.info_name)]
    if not values:
        raise ConfigError(f"{OPTION} {name} has no option of {context.info_name}")
    values = {**QUALITIES.get(str(values.get("quality")), {}), **values}
    configured = dict(context.default_map or {})
    for key in EXCLUSIVE if values.keys() & set(EXCLUSIVE) else ():
        configured.pop(key, None)
    context.default_map = {**configured, **values, **_given_quality(context)}
    return name


def _given_quality(context: typer.Context) -> dict[str, Any]:
    """Return the options of --quality if it precedes --preset-file on the command line."""
    source = context.get_parameter_source("quality")
    given = source is not None and source.name == "COMMANDLINE"
    return dict(QUALITIES[context.params["quality"]]) if given else {}
