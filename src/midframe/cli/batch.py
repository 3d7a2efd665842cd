"""The command for a folder of films: batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midframe.cli.cluster import Ray, RayCores, open_cluster_batch
from midframe.cli.names import result_suffix
from midframe.cli.options import VideoRequest, takes_video_options
from midframe.cli.parameters import OUTPUT
from midframe.cli.shared import command, err, one_line, out, print_line
from midframe.errors import OptionError, VideoError
from midframe.models.shipped import find_weights
from midframe.times import format_seconds

if TYPE_CHECKING:
    from midframe.batch.films import Film
    from midframe.batch.plan import FilmPlan
    from midframe.batch.run import Batch, FilmProgress, FilmResult
    from midframe.cli.progress import BatchBar


@command(
    epilog="""
    midframe batch holiday/ smooth/ --fps 60
    midframe batch inbox/ done/ --watch
    midframe batch s3://bucket/films s3://bucket/smooth --ray auto
    """
)
@takes_video_options
def batch(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="IN_DIR",
            help="A folder of videos, with its subfolders; with --ray also an address.",
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="OUT_DIR", help="A folder for the results; made if missing.")
    ],
    *,
    request: VideoRequest,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be done, with estimates of time and disk space.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    watching: Annotated[
        bool,
        typer.Option("--watch", help="Wait for new videos, until Ctrl-C.", rich_help_panel=OUTPUT),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results that were made with other options.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    ray: Ray = None,
    ray_cores: RayCores = None,
) -> None:
    """Interpolate all videos of a folder; finished ones are skipped, interrupted ones resumed."""

    def choose_suffix(source: Path) -> str:
        return result_suffix(source, request.codec)

    if ray:
        if dry_run:
            raise OptionError("--dry-run estimates for this machine alone: drop it, or --ray")
        with open_cluster_batch(
            folder, target, request, ray, ray_cores, watching=watching, overwrite=overwrite
        ) as spread:
            start_batch(spread, lambda: spread.find_films(choose_suffix), folder, watching=watching)
        return
    check_no_address(folder, target)
    from midframe.batch.films import find_films

    source, out_folder = Path(folder), Path(target)

    def find() -> list[Film]:
        return find_films(source, out_folder, choose_suffix)

    films = find()
    check_found(films, folder, watching=watching)
    work = make_batch(out_folder, request, overwrite=overwrite)
    if dry_run:
        from midframe.batch.plan import plan

        show_plan(list(plan(work, films)))
    else:
        start_batch(work, find, folder, watching=watching)


def check_no_address(*folders: str) -> None:
    """Raise a VideoError if a folder is the address of a storage."""
    for each in folders:
        if "://" in each:
            raise VideoError(f"{each} is an address: give --ray, or name a folder")


def check_found(films: Sequence[Film], folder: str, *, watching: bool) -> None:
    """Raise a VideoError if there are no films, nor will be."""
    if not films and not watching:
        raise VideoError(f"{folder} contains no videos: name another folder")


def start_batch(
    work: Batch, find: Callable[[], Sequence[Film]], folder: str, *, watching: bool
) -> None:
    """Run a batch on the films of a folder, or wait for films there."""
    if watching:
        watch_films(work, find)
        return
    films = find()
    check_found(films, folder, watching=watching)
    run_films(work, films)


def make_batch(folder: Path, request: VideoRequest, *, overwrite: bool) -> Batch:
    """Return a batch with the options of the command line; PyTorch is imported last."""
    from midframe.outputs import check_output_folder

    check_output_folder(folder)
    find_weights(request.interpolation.model)
    from midframe.batch.run import Batch

    return Batch(folder, request.interpolation, request.video, overwrite=overwrite)


def watch_films(work: Batch, find: Callable[[], Sequence[Film]]) -> None:
    """Run a batch on new films of a folder until it is interrupted."""
    from midframe.batch.run import watch
    from midframe.cli.progress import new_batch_bar

    print_line(err, "midframe: waiting for new videos, until Ctrl-C")
    with new_batch_bar(err, None) as bar:
        for film in watch(find):
            _show(work.run_film(film, progress_of(bar)), bar)


def run_films(work: Batch, films: Sequence[Film]) -> None:
    """Run a batch with a progress bar, and print the status of its films.

    Raises:
        VideoError: films failed, or are damaged.
    """
    from midframe.batch.run import FAILURES
    from midframe.cli.progress import new_batch_bar

    results = []
    with new_batch_bar(err, len(films)) as bar:
        for result in work.run(films, progress_of(bar)):
            _show(result, bar)
            results.append(result)
    counts = Counter(result.status for result in results)
    print_line(out, ", ".join(f"{count} {status}" for status, count in counts.items()))
    wrong = [result for result in results if result.status in FAILURES]
    for result in wrong:
        name = str(result.film.source)
        text = result.message if name in result.message else f"{name}: {result.message}"
        print_line(err, f"midframe: {result.status}: {text}")
    if wrong:
        raise VideoError(f"{len(wrong)} of {len(results)} videos failed or are damaged")


def progress_of(bar: BatchBar) -> FilmProgress:
    """Return the progress callback of a batch for a progress bar."""
    return lambda film, done, total: bar.update_film(one_line(film.name), done, total)


def _show(result: FilmResult, bar: BatchBar) -> None:
    """Print the status of a film above the progress bar."""
    bar.finish_film(one_line(result.film.name))
    text = f"{result.film.target}: {result.status}"
    if result.report:
        text += f", {result.report.frames_out} frames from {result.report.frames_in}"
    bar.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


def show_plan(plans: Sequence[FilmPlan]) -> None:
    """Print the plan of a batch as a table with totals.

    Raises:
        VideoError: a video cannot be read.
    """
    from rich.table import Table

    table = Table("video", "size", "frames", "interpolated", "time", "disk")
    for each in plans:
        name = one_line(str(each.film.source))
        if each.done or each.error:
            table.add_row(name, "", "", "", "already done" if each.done else "cannot be read", "")
            continue
        table.add_row(
            name,
            f"{each.width}x{each.height}",
            str(each.frames),
            str(each.interpolated),
            format_seconds(each.seconds),
            _megabytes(each.disk_bytes),
        )
    table.add_section()
    table.add_row(
        "all",
        "",
        str(sum(each.frames for each in plans)),
        str(sum(each.interpolated for each in plans)),
        format_seconds(sum(each.seconds for each in plans)),
        _megabytes(sum(each.disk_bytes for each in plans)),
    )
    out.print(table)
    for each in plans:
        if each.error:
            print_line(err, f"midframe: {each.error}")
    if wrong := sum(bool(each.error) for each in plans):
        raise VideoError(f"{wrong} of {len(plans)} videos cannot be read")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
