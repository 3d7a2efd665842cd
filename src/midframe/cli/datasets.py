"""Commands for data sets."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from midframe.cli.shared import app, file_bar, out
from midframe.errors import OptionError

dataset_app = typer.Typer(no_args_is_help=True, help="Create, import, export and inspect data sets.")
app.add_typer(dataset_app, name="dataset")
HoldOut = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Hold out files whose name or source fits for validation; can be repeated."),
]


@dataset_app.command("create")
def dataset_create(
    videos: Annotated[Path, typer.Argument(help="A folder of videos, or one.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder of the data set. Interrupted work is resumed.")
    ],
    frames: Annotated[int, typer.Option(help="Frames in a sample, an odd number.")] = 3,
    per_clip: Annotated[int, typer.Option(help="Maximum number of samples from one clip.")] = 400,
    random_patches: Annotated[
        int,
        typer.Option(
            "--random-patches",
            "--plain",
            help="Further samples of each clip from random places, static and flat ones too.",
        ),
    ] = 0,
    size: Annotated[int, typer.Option(help="Height and width of a sample in pixels.")] = 150,
    max_motion: Annotated[
        float, typer.Option(help="Drop patches that move further from the first to the last frame, in pixels.")
    ] = 44.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    stills: Annotated[Path | None, typer.Option(help="A folder of photographs to add, with synthetic motion.")] = None,
    drawings: Annotated[
        int, typer.Option(min=0, help="Number of shards of drawings (lines, shapes, letters) with synthetic motion.")
    ] = 0,
    sources: Annotated[
        list[Path] | None,
        typer.Option(help="A CSV file with the columns file, licence, attribution, source; can be repeated."),
    ] = None,
    hold_out: HoldOut = None,
    workers: Annotated[int | None, typer.Option(help="Number of processes; one per core if not given.")] = None,
) -> None:
    """Choose moving, textured patches of videos, without cuts and duplicates, and store them as WebDataset shards."""
    from midframe.data.create import create_dataset
    from midframe.data.harvest import CreateConfig
    from midframe.data.show import draw_motion
    from midframe.data.triplets import Selection

    selection = Selection(size=size, max_motion=max_motion)
    kept_out = tuple(hold_out or ())
    try:
        config = CreateConfig(selection, frames, per_clip=per_clip, plain=random_patches, hold_out=kept_out, seed=seed)
    except ValueError as error:
        raise OptionError(str(error)) from error
    with file_bar() as show:
        report = create_dataset(
            videos,
            target,
            config,
            stills=stills,
            drawings=drawings,
            sources=sources or (),
            workers=workers,
            progress=show,
        )
    draw_motion(target, report)
    print_report(report)


@dataset_app.command("import")
def dataset_import(
    source: Annotated[
        Path, typer.Argument(metavar="FILES", help="TFRecord files, or a folder of them or of Vimeo-90K.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder of the data set. Interrupted work is resumed.")
    ],
    hold_out: HoldOut = None,
) -> None:
    """Import a data set of another program: TFRecord with img1, img2, img3, or Vimeo-90K."""
    from midframe.data.exchange import import_dataset
    from midframe.data.harvest import CreateConfig

    with file_bar() as show:
        report = import_dataset(source, target, config=CreateConfig(hold_out=tuple(hold_out or ())), progress=show)
    print_report(report)


@dataset_app.command("export")
def dataset_export(
    dataset: Annotated[Path, typer.Argument(help="The folder of a data set.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for the TFRecord files, one a shard.")],
) -> None:
    """Export a data set as TFRecord files with the features img1, img2, img3, height and width."""
    from midframe.data.exchange import export_dataset

    with file_bar() as show:
        count = export_dataset(dataset, target, progress=show)
    out.print(f"{count} samples in {target}", soft_wrap=True)


@dataset_app.command("show")
def dataset_show(dataset: Annotated[Path, typer.Argument(help="The folder of a data set.")]) -> None:
    """Print a data set's report and draw a contact sheet of its samples."""
    from midframe.data.show import draw_motion, make_contact_sheet, read_report

    report = read_report(dataset)
    print_report(report)
    out.print(f"{draw_motion(dataset, report)}\n{make_contact_sheet(dataset)}", soft_wrap=True)


def print_report(report: dict[str, Any]) -> None:
    """Print the counts of a data set."""
    table = Table("file", "part", "sequences", "samples", "note")
    for file in report["files"]:
        table.add_row(file["file"], file["part"], str(file["sequences"]), str(file["samples"]), file["error"] or "")
    out.print(table)
    out.print(", ".join(f"{count} samples for {split}" for split, count in report["samples"].items()))
