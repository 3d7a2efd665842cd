"""Commands for videos: video, compare, score."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from midframe.cli.events import show_progress, write_event
from midframe.cli.names import check_ending, check_exists, default_target, result_suffix
from midframe.cli.options import VideoRequest, takes_interpolation_options, takes_video_options
from midframe.cli.parameters import (
    DEFAULT_START,
    CompareFactor,
    End,
    Minterpolate,
    OutputFolder,
    Overwrite,
    ReportFile,
    Resume,
    ShownProgress,
    Slower,
    Start,
)  # fmt: skip
from midframe.cli.report import check_report, raise_faults, show_report, write_report
from midframe.cli.shared import command, frame_bar, out, print_line
from midframe.errors import OptionError, VideoError
from midframe.models.shipped import find_weights
from midframe.options import (
    CompareOptions,
    InterpolationOptions,
    SourceOptions,
)
from midframe.outputs import check_output_folder


@command(
    epilog="""
    midframe video film.mp4
    midframe video film.mp4 smooth.mkv --fps 60 --codec hevc
    midframe video film.mp4 --slow 4 --start 1:30 --end 1:40.5
    midframe video frames/%06d.png film.mp4 --source-fps 24
    """
)
@takes_video_options
def video(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A video, an animation, a folder or pattern of images, or - for a pipe.",
        ),
    ],
    others: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[OUT]",
            help="The result, or images as in frames/%06d.png; IN-x2.mp4 if not given. "
            "With --output-dir: more videos.",
        ),
    ] = None,
    *,
    request: VideoRequest,
    output_dir: OutputFolder = None,
    report_file: ReportFile = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    progress: ShownProgress = "bar",
) -> None:
    """Increase the frame rate of a video, or slow it down; sound, subtitles and source frames are
    kept."""
    if output_dir:
        if report_file:
            raise OptionError("--report is for a single video: drop it, or --output-dir")
        if progress == "json":
            raise OptionError("--progress json is for a single video: drop it, or --output-dir")
        paths = [source, *(others or [])]
        from midframe.batch.videos import name_videos
        from midframe.cli.batch import make_batch, run_videos

        videos = name_videos(paths, output_dir, lambda path: result_suffix(path, request.codec))
        batch = make_batch(output_dir, request, overwrite=overwrite)
        run_videos(batch, videos, hides_bar=progress == "none")
        return
    if others and len(others) > 1:
        raise OptionError(
            f"{1 + len(others)} names are given: one IN and one OUT, or several videos with "
            "--output-dir; images are one IN as their folder, or as in frames/%06d.png"
        )
    check_exists(source)
    target = others[0] if others else default_target(source, request)
    check_ending(source, target)
    if report_file:
        check_report(report_file, source, target)
    from midframe.video.conversion_checks import check_conversion

    check_conversion(source, target, request.video.encoding, overwrite=overwrite, resume=resume)
    find_weights(request.interpolation.model)
    from midframe.video.pipeline import convert_video

    if progress == "json":
        write_event("start", source=str(source), target=str(target))
    with show_progress(progress) as update:
        report = convert_video(
            source,
            target,
            request.interpolation,
            request.video,
            overwrite=overwrite,
            resume=resume,
            progress=update,
        )
    if report_file and not (report.already_complete and report_file.exists()):
        options = asdict(request.interpolation) | asdict(request.video)
        work = {"source": source.absolute(), "result": target.absolute(), "options": options}
        write_report(report_file, report, work)
    if progress == "json":
        write_event("done", target=str(target), report=report.as_json())
        raise_faults(target, report)
    else:
        show_report(target, report)


@command(
    epilog="""
    midframe compare film.mp4 --start 1:30 --end 1:35
    """
)
@takes_interpolation_options
def compare(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A video.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The result; IN-compare.mp4 if not given."),
    ] = None,
    factor: CompareFactor = CompareOptions.factor,
    slower: Slower = CompareOptions.slower,
    start: Start = DEFAULT_START,
    end: End = None,
    *,
    interpolation: InterpolationOptions,
    overwrite: Overwrite = False,
) -> None:
    """Show a video beside the interpolated one, slowed down, in one labelled video."""
    labels = CompareOptions(factor, slower)
    reading = SourceOptions(start, end)
    check_exists(source)
    target = target or source.with_name(f"{source.stem}-compare.mp4")
    from midframe.media.reading.sources import check_source
    from midframe.video.sinks.checks import check_target

    check_target(source, target, overwrite)
    check_source(source)
    find_weights(interpolation.model)
    from midframe.video.compare import convert_comparison

    with frame_bar() as (bar, task):
        shown = convert_comparison(
            source,
            target,
            interpolation,
            labels,
            reading,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_line(out, f"{target}: {shown} frames compared")


@command(
    epilog="""
    midframe score film.mp4 scores --start 1:30 --end 1:35

    midframe score film240.mp4 --factor 8
    """
)
@takes_interpolation_options
def score(
    source: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="A folder; VIDEO-score if not given.")
    ] = None,
    start: Start = DEFAULT_START,
    end: End = None,
    factor: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            max=64,
            help="Keep one of N frames (2 by default), and interpolate the others.",
        ),
    ] = None,
    minterpolate: Minterpolate = True,
    *,
    interpolation: InterpolationOptions,
    overwrite: Overwrite = False,
) -> None:
    """Drop frames of a video, interpolate them, and score them and baselines against the
    originals."""
    time_range = SourceOptions(start, end).seconds
    check_exists(source)
    target = target or source.with_name(f"{source.stem}-score")
    check_output_folder(target, inputs=[source])
    if (target / "scores.json").exists() and not overwrite:
        raise VideoError(f"{target} has scores: name another folder, or give --overwrite")
    from midframe.media.reading.source import TimeRange
    from midframe.media.reading.sources import check_source

    check_source(source)
    find_weights(interpolation.model)
    from rich.table import Table

    from midframe.evaluation.score_video import DEFAULT_FACTOR, save_scores, score_video
    from midframe.interpolator import Interpolator

    interpolator = Interpolator.from_options(interpolation)
    with frame_bar() as (bar, task):
        scores = score_video(
            source,
            interpolator,
            name=Path(interpolation.model).stem,
            time_range=TimeRange(*time_range),
            factor=factor or DEFAULT_FACTOR,
            minterpolate=minterpolate,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    save_scores(scores, target)
    table = Table("method", "PSNR dB", "SSIM", "error", "sharpness")
    for method in scores.methods:
        psnr, ssim = scores.mean("psnr", method), scores.mean("ssim", method)
        error, sharpness = scores.mean("error", method), scores.mean("sharpness", method)
        table.add_row(method, f"{psnr:.2f}", f"{ssim:.3f}", f"{error:.2f}", f"{sharpness:.2f}")
    out.print(table)
    out.print(
        f"{len(scores.frames)} frames scored; all scores and the worst frames are in {target}",
        soft_wrap=True,
    )
