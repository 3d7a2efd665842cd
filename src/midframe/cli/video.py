"""Commands for videos: video, compare, score."""

from pathlib import Path
from typing import Annotated

import typer

from midframe.cli.config import without_configured
from midframe.cli.events import show_progress, write_event
from midframe.cli.naming import check_exists, default_target, options_of
from midframe.cli.parameters import (
    DEFAULT_START,
    Codec,
    CompareFactor,
    Crf,
    Cut,
    CutThreshold,
    Dedup,
    Deinterlace,
    Device,
    EncoderOption,
    End,
    Ensemble,
    Factor,
    Fps,
    Minterpolate,
    Model,
    Mute,
    Overlays,
    Overwrite,
    PrecisionOption,
    Preset,
    Quality,
    ReportFile,
    Resume,
    Scale,
    ShownProgress,
    Slow,
    Slower,
    SourceFps,
    Start,
    Strict,
    Threads,
    Tile,
    VariableRate,
)  # fmt: skip
from midframe.cli.report import check_report, raise_faults, show_report, write_report
from midframe.cli.shared import command, frame_bar, out, print_line
from midframe.models.shipped import find_weights
from midframe.options import (
    CompareOptions,
    EncodingOptions,
    InterpolationOptions,
    RetimingOptions,
    SourceOptions,
    VideoOptions,
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
def video(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A video, an animation, a folder or pattern of images, or - for a pipe.",
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUT]",
            help="The result, or images as in frames/%06d.png; IN-x2.mp4 if not given.",
        ),
    ] = None,
    factor: Factor = None,
    fps: Fps = None,
    slow: Slow = None,
    vfr: VariableRate = RetimingOptions.vfr,
    cut: Cut = RetimingOptions.cut,
    dedup: Dedup = RetimingOptions.dedup,
    overlays: Overlays = RetimingOptions.overlays,
    start: Start = DEFAULT_START,
    end: End = None,
    source_fps: SourceFps = None,
    deinterlace: Deinterlace = SourceOptions.deinterlace,
    cut_threshold: CutThreshold = SourceOptions.cut_threshold,
    strict: Strict = SourceOptions.strict,
    quality: Quality = "standard",
    model: Model = InterpolationOptions.model,
    device: Device = InterpolationOptions.device,
    tile: Tile = InterpolationOptions.tile,
    scale: Scale = InterpolationOptions.scale,
    ensemble: Ensemble = InterpolationOptions.ensemble,
    precision: PrecisionOption = InterpolationOptions.precision,
    threads: Threads = None,
    codec: Codec = EncodingOptions.codec,
    crf: Crf = EncodingOptions.crf,
    preset: Preset = EncodingOptions.preset,
    encoder_option: EncoderOption = None,
    mute: Mute = EncodingOptions.mute,
    report_file: ReportFile = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    progress: ShownProgress = "bar",
) -> None:
    """Increase the frame rate of a video, or slow it down; sound, subtitles and source frames are
    kept."""
    if factor is not None and fps is not None:
        factor, fps = without_configured(context, factor=factor, fps=fps)
    retiming = RetimingOptions(factor, fps, slow, vfr=vfr, cut=cut, dedup=dedup, overlays=overlays)
    encoding = EncodingOptions(codec, crf, preset, options_of(encoder_option or []), mute=mute)
    reading = SourceOptions(
        start, end, source_fps, deinterlace=deinterlace, cut_threshold=cut_threshold, strict=strict
    )
    interpolation = InterpolationOptions(model, device, tile, scale, ensemble, precision)
    check_exists(source)
    target = target or default_target(source, factor, fps, slow, codec=codec)
    if report_file:
        check_report(report_file, source, target)
    from midframe.video.job_checks import check_job

    check_job(source, target, encoding, overwrite=overwrite, resume=resume)
    find_weights(model)
    from midframe.video.pipeline import convert_video

    if progress == "json":
        write_event("start", source=str(source), target=str(target))
    with show_progress(progress) as update:
        report = convert_video(
            source,
            target,
            interpolation,
            VideoOptions(retiming, reading, encoding),
            overwrite=overwrite,
            resume=resume,
            progress=update,
        )
    if report_file and not (report.already_complete and report_file.exists()):
        write_report(report_file, report)
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
    quality: Quality = "standard",
    model: Model = InterpolationOptions.model,
    device: Device = InterpolationOptions.device,
    tile: Tile = InterpolationOptions.tile,
    scale: Scale = InterpolationOptions.scale,
    ensemble: Ensemble = InterpolationOptions.ensemble,
    precision: PrecisionOption = InterpolationOptions.precision,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Show a video beside the interpolated one, slowed down, in one labelled video."""
    CompareOptions(factor, slower)
    part = SourceOptions(start, end).seconds
    InterpolationOptions(model, device, tile, scale, ensemble, precision)
    check_exists(source)
    target = target or source.with_name(f"{source.stem}-compare.mp4")
    from midframe.media.reading.reader import Part
    from midframe.media.reading.sources import check_source
    from midframe.video.target_checks import check_target

    check_target(source, target, overwrite)
    check_source(source)
    find_weights(model)
    from midframe.video.compare import compare_video

    with frame_bar() as (bar, task):
        shown = compare_video(
            source,
            target,
            factor=factor,
            slower=slower,
            part=Part(*part),
            model=model,
            device=device,
            tile=tile,
            scale=scale,
            ensemble=ensemble,
            precision=precision,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_line(out, f"{target}: {shown} frames compared")


@command(
    epilog="""
    midframe score film.mp4 scores --start 1:30 --end 1:35
    """
)
def score(
    source: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="A folder; VIDEO-score if not given.")
    ] = None,
    start: Start = DEFAULT_START,
    end: End = None,
    minterpolate: Minterpolate = True,
    quality: Quality = "standard",
    model: Model = InterpolationOptions.model,
    device: Device = InterpolationOptions.device,
    tile: Tile = InterpolationOptions.tile,
    scale: Scale = InterpolationOptions.scale,
    ensemble: Ensemble = InterpolationOptions.ensemble,
    precision: PrecisionOption = InterpolationOptions.precision,
    threads: Threads = None,
) -> None:
    """Drop every second frame of a video, interpolate it, and compare both, beside simpler
    methods."""
    part = SourceOptions(start, end).seconds
    options = InterpolationOptions(model, device, tile, scale, ensemble, precision)
    check_exists(source)
    target = target or source.with_name(f"{source.stem}-score")
    check_output_folder(target, inputs=[source])
    from midframe.media.reading.reader import Part
    from midframe.media.reading.sources import check_source

    check_source(source)
    find_weights(model)
    from rich.table import Table

    from midframe.evaluation.score_video import save_scores, score_video
    from midframe.interpolator import Interpolator

    tool = Interpolator.from_options(options)
    with frame_bar() as (bar, task):
        scores = score_video(
            source,
            tool,
            name=Path(model).stem,
            part=Part(*part),
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
