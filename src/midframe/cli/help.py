"""Help texts: two columns for each panel of options, readable at 80 columns."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

MIN_WIDTH, MAX_WIDTH = 40, 100
"""Columns of the text."""
INDENT, NAME_WIDTH = 2, 26
"""Columns before the names of options, and columns for the names; the description of a longer name
begins on the next line."""
ARGUMENTS, OPTIONS, COMMANDS = "Arguments", "Options", "Commands"
"""Titles of the default panels."""
GROUPS = {
    "Interpolation": ("video", "image", "batch", "web", "presets"),
    "Inspection": ("compare", "score", "visualize", "kernels", "models", "doctor"),
    "Research": ("dataset", "train", "curves", "evaluate", "export"),
}
"""Names of commands by the title of their panel, in the order of the help text; others follow."""
PYDANTIC_PREFIX = "Value error, "
"""Words that Pydantic, by which Typer checks values, puts before a validator's message."""

Row = tuple[str, str]
"""Name of an option, argument or command, and its description."""


class HelpCommand(TyperCommand):
    """A command with a help text in panels; its epilog lists examples, one per line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; messages about wrong values are plain, with a hint if the name of
        a file was taken for an option."""
        files = [text for text in args if text.startswith("-") and Path(text).is_file()]
        try:
            return super().parse_args(ctx, args)
        except TyperException as error:
            hint = f" (a file has this name: write ./{files[0]})" if files else ""
            if isinstance(message := getattr(error, "message", None), str | None):
                error.message = (message or "").replace(PYDANTIC_PREFIX, "") + hint
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(command_help(self, ctx))


class HelpGroup(TyperGroup):
    """A group of commands with a help text in panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; without any arguments print the help and exit with status 2."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, those of midframe itself in the order of `GROUPS`."""
        order = [name for names in self._groups(ctx).values() for name in names]
        return sorted(super().list_commands(ctx), key=lambda name: [*order, name].index(name))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[Row]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                titles = (title for title, names in self._groups(ctx).items() if name in names)
                panel = next(titles, COMMANDS)
                panels.setdefault(panel, []).append((name, first_sentence(command.help or "")))
        formatter.write(command_help(self, ctx, panels))

    def _groups(self, ctx: Any) -> dict[str, tuple[str, ...]]:
        return GROUPS if ctx.parent is None else {}


def command_help(command: Any, ctx: Any, more: dict[str, list[Row]] | None = None) -> str:
    """Return the help text of a command.

    Args:
        command, ctx: of Typer.
        more: further panels before those of the parameters.
    """
    panels = dict(more or {})
    for parameter in command.get_params(ctx):
        if not getattr(parameter, "hidden", False):
            panels.setdefault(panel_title(parameter), []).append(help_row(parameter, ctx))
    if OPTIONS in panels:
        panels[OPTIONS] = panels.pop(OPTIONS)  # moves it to the end
    width = min(MAX_WIDTH, max(MIN_WIDTH, shutil.get_terminal_size().columns))
    lines = [f"Usage: {ctx.command_path} {usage(command)}", ""]
    lines += textwrap.wrap(inspect.cleandoc(command.help or "").replace("\n", " "), width)
    if command.epilog:
        examples = inspect.cleandoc(command.epilog).splitlines()
        lines += ["", "Examples:", *(" " * INDENT + line for line in examples)]
    for title, rows in panels.items():
        lines += ["", f"{title}:", *columns(rows, width)]
    return "\n".join(lines) + "\n"


def usage(command: Any) -> str:
    """Return the arguments of a command for the usage line."""
    arguments = [
        each.metavar or each.name.upper()
        for each in command.params
        if each.param_type_name == "argument"
    ]
    if isinstance(command, TyperGroup):
        arguments = [command.subcommand_metavar]
    return " ".join(["[OPTIONS]", *arguments])


def columns(rows: Iterable[Row], width: int) -> Iterable[str]:
    """Yield lines with two columns, wrapped at a total width."""
    begin = INDENT + NAME_WIDTH
    for name, text in rows:
        head, lines = " " * INDENT + name, textwrap.wrap(text, width - begin)
        if len(head) >= begin:
            yield head
        else:
            lines = lines or [""]
            yield f"{head:{begin}}{lines.pop(0)}".rstrip()
        yield from (" " * begin + line for line in lines)


def panel_title(parameter: Any) -> str:
    """Return the title of the panel of a parameter."""
    if parameter.param_type_name == "argument":
        return ARGUMENTS
    return getattr(parameter, "rich_help_panel", None) or OPTIONS


def help_row(parameter: Any, ctx: Any) -> Row:
    """Return the names of a parameter, and its description with the default."""
    text = parameter.help or ""
    if parameter.param_type_name == "argument":
        return (parameter.metavar or parameter.name.upper()).strip("[]"), text
    if parameter.is_flag or parameter.count:
        if parameter.secondary_opts:
            text += f" Default: {'on' if parameter.get_default(ctx) else 'off'}."
        return flag_names(parameter), text
    metavar = parameter.metavar or "VALUE"
    default = parameter.get_default(ctx)
    if default is not None and parameter.show_default and not isinstance(default, Sequence):
        text += f" Default: {default:g}." if isinstance(default, float) else f" Default: {default}."
    elif isinstance(default, str) and default:
        text += f" Default: {default}."
    return f"{names_of(parameter.opts)} {metavar}", text


def flag_names(parameter: Any) -> str:
    """Return the names of a flag, as in --[no-]overlays."""
    if not parameter.secondary_opts:
        return names_of(parameter.opts)
    return names_of([*parameter.opts[:-1], f"--[no-]{parameter.opts[-1].removeprefix('--')}"])


def names_of(names: Sequence[str]) -> str:
    """Return the names of an option, the short ones first."""
    return ", ".join(sorted(names, key=len))


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text, without its full stop."""
    return inspect.cleandoc(text).replace("\n", " ").partition(". ")[0].rstrip(".")
