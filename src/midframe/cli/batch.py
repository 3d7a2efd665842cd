"""The command for a folder of videos: batch."""

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
    from midframe.batch.dry_run import VideoEstimate
    from midframe.batch.run import Batch, BatchProgress, BatchVideoResult
    from midframe.batch.videos import BatchVideo
    from midframe.cli.progress import BatchBar

MAX_SHOWN = 5
"""Names in a message."""


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
        ) as cluster_batch:
            start_batch(
                cluster_batch,
                lambda: cluster_batch.find_videos(choose_suffix),
                folder,
                watching=watching,
            )
        return
    if ray_cores:
        raise OptionError("--ray-cores is for the workers of a cluster: give --ray too, or drop it")
    check_no_address(folder, target)
    from midframe.batch.videos import (
        find_files,
        find_videos,
        name_results,
        results_without_source,
        skipped_suffixes,
    )

    source, out_folder = Path(folder), Path(target)
    files = find_files(source, out_folder)
    videos = name_results(source, files, out_folder, choose_suffix)
    check_found(videos, folder, watching=watching)
    if skipped := skipped_suffixes(source, files):
        counts = ", ".join(
            f"{count} {suffix or 'without a suffix'}" for suffix, count in skipped.items()
        )
        print_line(err, f"midframe: skipped files without the suffix of a video: {counts}")
    if others := results_without_source(out_folder, videos):
        shown = ", ".join(others[:MAX_SHOWN]) + ", ..." * (len(others) > MAX_SHOWN)
        print_line(
            err,
            f"midframe: {target} has {len(others)} results without a source in {folder}: {shown}",
        )
    work = make_batch(out_folder, request, overwrite=overwrite)
    if dry_run:
        from midframe.batch.dry_run import estimate_videos

        show_plan(list(estimate_videos(work, videos)))
    elif watching:
        watch_videos(work, lambda: find_videos(source, out_folder, choose_suffix))
    else:
        run_videos(work, videos)


def check_no_address(*folders: str) -> None:
    """Raise a VideoError if a folder is the address of a storage."""
    for each in folders:
        if "://" in each:
            raise VideoError(f"{each} is an address: give --ray, or name a folder")


def check_found(videos: Sequence[BatchVideo], folder: str, *, watching: bool) -> None:
    """Raise a VideoError if there are no videos and none are waited for."""
    if not videos and not watching:
        raise VideoError(f"{folder} contains no videos: name another folder")


def start_batch(
    work: Batch, find: Callable[[], Sequence[BatchVideo]], folder: str, *, watching: bool
) -> None:
    """Run a batch on the videos of a folder, or wait for videos there."""
    if watching:
        watch_videos(work, find)
        return
    videos = find()
    check_found(videos, folder, watching=watching)
    run_videos(work, videos)


def make_batch(folder: Path, request: VideoRequest, *, overwrite: bool) -> Batch:
    """Return a batch with the options of the command line; PyTorch is imported last."""
    from midframe.outputs import check_output_folder

    check_output_folder(folder)
    find_weights(request.interpolation.model)
    from midframe.batch.run import Batch

    return Batch(folder, request.interpolation, request.video, overwrite=overwrite)


def watch_videos(work: Batch, find: Callable[[], Sequence[BatchVideo]]) -> None:
    """Run a batch on new videos of a folder until it is interrupted."""
    from midframe.batch.run import FAILURES, watch
    from midframe.cli.progress import new_batch_bar

    print_line(err, "midframe: waiting for new videos, until Ctrl-C")
    with new_batch_bar(err, None) as bar:
        for video in watch(find):
            result = work.run_video(video, make_progress_callback(bar))
            _show(result, bar)
            if result.status in FAILURES:
                _print_failure(result)


def run_videos(work: Batch, videos: Sequence[BatchVideo], *, hides_bar: bool = False) -> None:
    """Run a batch with a progress bar, unless it is hidden, and print the status of its videos.

    Raises:
        VideoError: videos failed, or are damaged.
    """
    from midframe.batch.run import FAILURES
    from midframe.cli.progress import new_batch_bar

    results = []
    with new_batch_bar(err, len(videos), disable=hides_bar) as bar:
        for result in work.run(videos, make_progress_callback(bar)):
            _show(result, bar)
            results.append(result)
    counts = Counter(result.status for result in results)
    print_line(out, ", ".join(f"{count} {status}" for status, count in counts.items()))
    failures = [result for result in results if result.status in FAILURES]
    for result in failures:
        _print_failure(result)
    if failures:
        raise VideoError(f"{len(failures)} of {len(results)} videos failed or are damaged")


def make_progress_callback(bar: BatchBar) -> BatchProgress:
    """Return the progress callback of a batch for a progress bar."""
    return lambda video, done, total: bar.update_video(one_line(video.name), done, total)


def _print_failure(result: BatchVideoResult) -> None:
    """Print why a video failed or is damaged."""
    name = str(result.video.source)
    text = result.message if name in result.message else f"{name}: {result.message}"
    print_line(err, f"midframe: {result.status}: {text}")


def _show(result: BatchVideoResult, bar: BatchBar) -> None:
    """Print the status of a video above the progress bar."""
    bar.finish_video(one_line(result.video.name))
    text = f"{result.video.target}: {result.status}"
    details: list[str] = []
    if result.report:
        text += f", {result.report.frames_out} frames from {result.report.frames_in}"
        details += [f"  dropped: {each}" for each in result.report.dropped]
        details += [f"  warning: {each}" for each in result.report.warnings]
    for line in (text, *details):
        bar.console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def show_plan(plans: Sequence[VideoEstimate]) -> None:
    """Print the plan of a batch as a table with totals.

    Raises:
        VideoError: a video would fail.
    """
    from rich.table import Table

    table = Table("video", "size", "frames", "interpolated", "time", "disk")
    for each in plans:
        name = one_line(str(each.video.source))
        if each.done or each.error:
            table.add_row(name, "", "", "", "already done" if each.done else "fails", "")
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
    if failing := sum(bool(each.error) for each in plans):
        raise VideoError(f"{failing} of {len(plans)} videos would fail")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
