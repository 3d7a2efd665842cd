"""The application, its consoles and progress bars, shared by all commands."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer
from rich.console import Console

import midframe
from midframe.cli.config import load_defaults
from midframe.cli.help import HelpCommand, HelpGroup

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
command = partial(app.command, cls=HelpCommand)
"""Registers a function as a command."""
out, err = Console(), Console(stderr=True)
ESCAPED = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories of control characters, line separators, and surrogates for undecodable bytes
in file names."""


def one_line(text: str) -> str:
    """Escape the control characters in a text, which file names may contain."""
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in ESCAPED else each
        for each in text
    )


def print_line(console: Console, text: str, *, style: str | None = None) -> None:
    """Print a text that contains file names: on one line, without markup."""
    console.print(one_line(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"midframe {midframe.__version__}", highlight=False)
        raise typer.Exit


class Configurable(Protocol):
    """The object that the global options configure."""

    def configure(self, *, verbose: bool, debug: bool, log_file: Path | None) -> None: ...

    def write_json(self) -> None: ...


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the steps of the work.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take defaults of options from this TOML file; ~/.config/midframe/config.toml if "
            "not given.",
        ),
    ] = None,
    log_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append all messages, with times, to this file."),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print details, and the traceback of an error.")
    ] = False,
) -> None:
    """Interpolate frames of videos and between images.

    Options of this list can also follow the command.
    """
    out.quiet = quiet
    context.default_map = load_defaults(config, context.command)
    diagnostics: Configurable | None = context.obj
    if diagnostics:
        diagnostics.configure(verbose=verbose, debug=debug, log_file=log_file)


@contextmanager
def frame_bar(total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """Show a progress bar with rate and remaining time after its first update."""
    from midframe.cli.progress import new_bar

    with new_bar(err, disable=out.quiet) as bar:
        yield bar, bar.add_task("", total=total)


@contextmanager
def file_bar() -> Iterator[Callable[[int, int, str], None]]:
    """Show a progress bar over files; yield a callback with the number of finished files, their
    total and a name."""
    with frame_bar() as (bar, task):
        yield lambda done, total, _: bar.update(task, completed=done, total=total)


@contextmanager
def progress_bar(count: int) -> Iterator[Callable[[float], None]]:
    """Show a progress bar over a known number of items; yield a callback with the finished
    fraction."""
    with frame_bar(count) as (bar, task):
        yield lambda fraction: bar.update(task, completed=fraction * count)
