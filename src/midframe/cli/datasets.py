"""Commands for datasets."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from midframe.cli.cluster import Ray, open_executor
from midframe.cli.help import HelpCommand, HelpGroup
from midframe.cli.shared import app, err, file_bar, out, print_line
from midframe.errors import DatasetError, OptionError

dataset_app = typer.Typer(
    cls=HelpGroup, no_args_is_help=True, help="Create, import, export and show datasets."
)
app.add_typer(dataset_app, name="dataset")
command = partial(dataset_app.command, cls=HelpCommand)
HoldOut = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Hold out files or sources that match for validation; may be repeated.",
    ),
]


Target = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="Folder of the dataset; an interrupted run is resumed."),
]


@command(
    "create",
    epilog="""
    midframe dataset create clips dataset --hold-out "*concert*"
    """,
)
def dataset_create(
    videos: Annotated[Path, typer.Argument(help="Folder of videos, or one video.")],
    target: Target,
    frames: Annotated[int, typer.Option(metavar="N", help="Frames per sample, odd.")] = 3,
    per_clip: Annotated[
        int, typer.Option(metavar="N", help="Maximum number of samples per clip.")
    ] = 400,
    random_patches: Annotated[
        int,
        typer.Option(
            metavar="N", help="Additional samples per clip at random places, static and flat too."
        ),
    ] = 0,
    plain: Annotated[int | None, typer.Option(hidden=True)] = None,
    size: Annotated[
        int, typer.Option(metavar="PIXELS", help="Height and width of a sample in pixels.")
    ] = 150,
    max_motion: Annotated[
        float,
        typer.Option(
            metavar="PIXELS", help="Maximum motion from the first frame to the last, in pixels."
        ),
    ] = 44.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 0,
    stills: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of photographs to add with synthetic motion."),
    ] = None,
    drawings: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Number of shards of drawings to add with synthetic motion."
        ),
    ] = 0,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="CSV list with columns file, licence, attribution, source; repeatable.",
        ),
    ] = None,
    hold_out: HoldOut = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of processes; default: number of cores."),
    ] = None,
    ray: Ray = None,
) -> None:
    """Extract moving, textured patches without cuts from videos and write WebDataset shards."""
    from midframe.data.create import create_dataset
    from midframe.data.create_config import CreateConfig
    from midframe.data.show import draw_motion
    from midframe.data.triplets import Selection

    selection = Selection(size=size, max_motion=max_motion)
    try:
        config = CreateConfig(
            selection,
            frames,
            per_clip=per_clip,
            random_patches=random_patches if plain is None else plain,
            hold_out=tuple(hold_out or ()),
            seed=seed,
        )
    except ValueError as error:
        raise OptionError(str(error)) from error
    if ray and workers:
        raise OptionError("--workers is for this machine alone: drop it, or --ray")
    # machines of a cluster have other current folders
    videos, folder = videos.absolute(), target.absolute()
    with open_executor(ray) as executor, file_bar() as show:
        report = create_dataset(
            videos,
            folder,
            config,
            photographs=stills and stills.absolute(),
            drawings=drawings,
            sources=sources or (),
            workers=workers,
            executor=executor,
            progress=show,
        )
    draw_motion(target, report)
    print_report(report)
    check_all_read(target, report)


def check_all_read(dataset: Path, report: dict[str, Any]) -> None:
    """Name the files that could not be read.

    Raises:
        DatasetError: there are such files.
    """
    failures = [file for file in report["files"] if file.get("failed")]
    for file in failures:
        print_line(err, f"midframe: failed: {file['file']}: {file['error']}")
    if failures:
        raise DatasetError(
            f"{len(failures)} of {len(report['files'])} files could not be read, or not to their "
            f"end; {dataset} has the samples of the others, and the same command tries these again"
        )


@command("import")
def dataset_import(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILES", help="TFRecord file, or folder of them or of Vimeo-90K."),
    ],
    target: Target,
    hold_out: HoldOut = None,
) -> None:
    """Import a dataset: TFRecord files with the features img1, img2, img3, or Vimeo-90K."""
    from midframe.data.create_config import CreateConfig
    from midframe.data.exchange import import_dataset

    with file_bar() as show:
        config = CreateConfig(hold_out=tuple(hold_out or ()))
        report = import_dataset(source, target, config=config, progress=show)
    print_report(report)


@command("export")
def dataset_export(
    dataset: Annotated[Path, typer.Argument(help="Folder of a dataset.")],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder for the TFRecord files, one per shard."),
    ],
) -> None:
    """Export a dataset as TFRecord files with the features img1, img2, img3, height and width."""
    from midframe.data.exchange import export_dataset

    with file_bar() as show:
        count = export_dataset(dataset, target, progress=show)
    out.print(f"{count} samples written to {target}", soft_wrap=True)


@command("show")
def dataset_show(
    dataset: Annotated[Path, typer.Argument(help="Folder of a dataset.")],
) -> None:
    """Print the report of a dataset; draw a motion histogram and a contact sheet."""
    from midframe.data.show import draw_motion, make_contact_sheet, read_report

    report = read_report(dataset)
    print_report(report)
    out.print(f"{draw_motion(dataset, report)}\n{make_contact_sheet(dataset)}", soft_wrap=True)


def print_report(report: dict[str, Any]) -> None:
    """Print the number of samples per file and per split."""
    from rich.table import Table

    table = Table("file", "split", "sequences", "samples", "error")
    for file in report["files"]:
        counts = str(file["sequences"]), str(file["samples"])
        table.add_row(file["file"], file["split"], *counts, file["error"] or "")
    out.print(table)
    totals = (f"{split}: {count} samples" for split, count in report["samples"].items())
    out.print(", ".join(totals))
