"""Defaults of options from a configuration file, and global options that follow the name of a
command."""

from __future__ import annotations

import logging
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from datetime import time
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from midframe.errors import ConfigError

log = logging.getLogger(__name__)

GLOBAL_FLAGS = frozenset(("-v", "--verbose", "-q", "--quiet", "--debug"))
GLOBAL_VALUES = frozenset(("--log-file", "--config"))
"""Options before the command that take a value."""
FILE_NAME = "config.toml"


def move_global_options_first(words: Iterable[str]) -> list[str]:
    """Move the options that all commands share to the front, where they are defined.

    Examples:
        >>> move_global_options_first(["video", "in.mp4", "-q"])
        ['-q', 'video', 'in.mp4']
    """
    first: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            others += [word, *rest]
        elif word in GLOBAL_FLAGS or word.partition("=")[0] in GLOBAL_VALUES:
            first += [word, *islice(rest, int(word in GLOBAL_VALUES))]
        else:
            others.append(word)
    return first + others


def default_file() -> Path:
    """Return the path of the user's configuration file, which may not exist."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "midframe" / FILE_NAME


def _find_default_file() -> Path | None:
    """Return the path of the user's configuration file; None if there is none, or if the home
    folder is that of another user."""
    try:
        path = default_file()
        return path if path.is_file() else None
    except OSError as error:
        log.warning("%s is ignored (%s)", error.filename, error.strerror)
    except RuntimeError:  # no HOME, and a user without an entry
        log.debug("there is no home folder")
    return None


def load_defaults(path: Path | None, group: Any, *, option: str = "--config") -> dict[str, Any]:
    """Read defaults of options: those in the table [video] apply to the command `video`, and so on;
    those at the top level apply to all commands.

    Args:
        path: a TOML file; None for that of the user, if it exists.
        group: Typer's group of commands.
        option: that names the file, for messages.

    Returns:
        Defaults by command and parameter, for Typer's `default_map`.

    Raises:
        ConfigError: the file cannot be read, or has a key that is not an option.
    """
    if path is None:
        path = _find_default_file()
        if path is None:
            return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad writes a BOM
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{option}: {path} cannot be read as TOML ({reason})") from error
    return _read_table(path, group, found)


def was_given(context: Any, name: str) -> bool:
    """Return whether an option is given on the command line, not by a configuration or a preset."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def drop_configured(context: Any, **values: Any) -> Iterable[Any]:
    """Return the values of mutually exclusive options. If one of them is given on the command line,
    values from the configuration file become None."""
    given = {name for name in values if was_given(context, name)}
    return [value if not given or name in given else None for name, value in values.items()]


def _read_table(
    path: Path,
    group: Any,
    found: dict[str, Any],
    inherited: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the defaults in a table, by command and parameter; arguments as in `load_defaults`,
    and the values that apply to all commands of the groups around this one."""
    commands = group.commands
    own = {key: value for key, value in found.items() if not isinstance(value, dict)}
    shared = {**inherited, **own}
    known = _options_within(group)
    if wrong := [key for key in own if _normalise(key) not in known]:
        raise ConfigError(_unknown(path, wrong[0], "any command", known))
    if wrong := [key for key in found if key not in own and key not in commands]:
        raise ConfigError(
            f"{path}: there is no command {wrong[0]!r}: choose from {', '.join(sorted(commands))}"
        )
    defaults: dict[str, Any] = {}
    for name, command in commands.items():
        options = _options_of(command)
        table = found.get(name, {})
        if hasattr(command, "commands"):
            defaults[name] = _read_table(path, command, table, shared)
            continue
        if wrong := [key for key in table if _normalise(key) not in options]:
            raise ConfigError(_unknown(path, wrong[0], name, options))
        given = {key: each for key, each in shared.items() if _normalise(key) in options} | table
        defaults[name] = {
            str(options[_normalise(key)].name): _convert(path, key, value, options[_normalise(key)])
            for key, value in given.items()
        }
    return defaults


def _convert(path: Path, key: str, value: Any, option: Any) -> Any:
    """Return a value of TOML as the command line would give it.

    Args:
        path, key: of the value, for messages.
        value: any but a table of options.
        option: Typer's description of the option.

    Raises:
        ConfigError: the value is of a type that the option cannot have.
    """
    if isinstance(value, dict) or (isinstance(value, bool) and not option.is_flag):
        raise ConfigError(f"{path}: {key} is {value!r}: give a number or a text, as after --{key}")
    if isinstance(value, time):  # start = 00:01:30, which is not a text in TOML
        return value.isoformat()
    return [value] if option.multiple and isinstance(value, str) else value


def _options_within(group: Any) -> set[str]:
    """Return the long names of the options of all commands in a group."""
    return {
        name
        for command in group.commands.values()
        for name in (
            _options_within(command) if hasattr(command, "commands") else _options_of(command)
        )
    }


def _options_of(command: Any) -> dict[str, Any]:
    """Return the parameters of a command by the long names of their options."""
    return {
        _normalise(name): parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in parameter.opts
        if name.startswith("--")
    }


def _normalise(name: str) -> str:
    return name.removeprefix("--").replace("_", "-")


def _unknown(path: Path, key: str, command: str, known: Iterable[str]) -> str:
    choices = ", ".join(sorted(known))
    return f"{path}: there is no option {key!r} of {command}: choose from {choices}"
