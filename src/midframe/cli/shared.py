"""What the commands share: the application, options of one kind, progress bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

import midframe

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(midframe.__doc__ or "").partition("\n")[0],
)
out, err = Console(), Console(stderr=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"midframe {midframe.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """What can be said before any command."""


Model = Annotated[str, typer.Option(help="Name or file of weights; `midframe models` lists the names.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Tile = Annotated[int | None, typer.Option(help="Side of the tiles of large frames in pixels; 0 for never.")]
Scale = Annotated[
    int | None,
    typer.Option(help="How many times smaller flowsep reads frames: 1 is best, 2, 4; by their size if not given."),
]
Ensemble = Annotated[
    int, typer.Option(help="How often frames are looked at, turned and mirrored: 1, 2, 4 or 8; better, and slower.")
]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]


@contextmanager
def frame_bar(total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar with speed and time left."""
    columns = [
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    ]
    with Progress(*columns, console=err) as bar:
        yield bar, bar.add_task("", total=total, rate="")


@contextmanager
def file_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar over files, told how many are done, how many there are, and the last one's name."""
    with frame_bar() as (bar, task):
        yield lambda done, total, _: bar.update(task, completed=done, total=total)


@contextmanager
def share_bar(count: int) -> Iterator[Callable[[float], None]]:
    """A progress bar over a known number of things, told the share that is done."""
    with frame_bar(count) as (bar, task):
        yield lambda share: bar.update(task, completed=share * count)
