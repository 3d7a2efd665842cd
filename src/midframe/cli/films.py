"""Commands for videos."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from midframe.cli.shared import (
    Device,
    Ensemble,
    Model,
    Overwrite,
    Precision,
    Scale,
    Tile,
    app,
    err,
    frame_bar,
    out,
    print_line,
)
from midframe.errors import VideoError
from midframe.interpolator import Interpolator
from midframe.models.checkpoint import DEFAULT_MODEL
from midframe.outputs import check_output_file, check_output_folder, whole_file
from midframe.video.animation import SUFFIXES as ANIMATIONS
from midframe.video.compare import DEFAULT_SLOWER, compare_video
from midframe.video.containers import CODEC_SUFFIXES
from midframe.video.encoder_options import DEFAULT_CRF
from midframe.video.encoders import ENCODERS, find_encoder
from midframe.video.pictures import is_pattern
from midframe.video.pipeline import interpolate_video
from midframe.video.pipes import STREAM
from midframe.video.reader import Part
from midframe.video.report import VideoReport
from midframe.video.retimer import CUTS, DEFAULT_CUT
from midframe.video.scenes import DEFAULT_THRESHOLD

KEPT_SUFFIXES = (".mkv", ".mov", ".m4v", ".gif", ".apng")
"""Endings that a result has from its source, where it is given no name; others become .mp4."""
FOR_ALL_CODECS = ".mkv"


@app.command()
def video(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="A video, GIF or APNG, a folder or pattern of pictures, or - for a stream."),
    ],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The result, or pictures as in frames/%06d.png; IN-x2.mp4 if not given."),
    ] = None,
    factor: Annotated[int | None, typer.Option(help="Multiple of the frame rate; 2 if nothing else is asked.")] = None,
    fps: Annotated[str | None, typer.Option(help="Frames a second of the result: 60, 59.94, 60000/1001.")] = None,
    slow: Annotated[float | None, typer.Option(help="So many times longer, at the same frame rate.")] = None,
    vfr: Annotated[bool, typer.Option("--vfr", help="Frames at the source's own times, and between them.")] = False,
    mute: Annotated[bool, typer.Option("--mute", help="Leave sound out.")] = False,
    start: Annotated[float, typer.Option(min=0, help="Where to begin, in seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Where to end, in seconds.")] = None,
    source_fps: Annotated[str | None, typer.Option(help="Frames a second of pictures; 25 if not given.")] = None,
    deinterlace: Annotated[
        bool, typer.Option("--deinterlace", help="Make whole frames of the fields of interlaced ones.")
    ] = False,
    dedup: Annotated[
        bool, typer.Option("--dedup", help="Replace repeated frames (animation on twos) by motion.")
    ] = False,
    overlays: Annotated[
        bool, typer.Option(help="Keep logos and texts that stand before the picture as they are.")
    ] = True,
    report_file: Annotated[Path | None, typer.Option("--report", help="Write what became of all to this file.")] = None,
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    codec: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(ENCODERS)}, or an encoder of FFmpeg; vp9 for .webm, else h264, if not given."),
    ] = None,
    crf: Annotated[int, typer.Option(help="Constant quality; smaller is better and larger.")] = DEFAULT_CRF,
    preset: Annotated[str | None, typer.Option(help="How much work the encoder does: slow, fast, 6.")] = None,
    encoder_option: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="An option of the encoder; may be repeated.")
    ] = None,
    cut: Annotated[str, typer.Option(help=f"What is shown across a cut: {', '.join(CUTS)}.")] = DEFAULT_CUT,
    cut_threshold: Annotated[
        float, typer.Option(help="Scene change score that counts as a cut; 0 for none.")
    ] = DEFAULT_THRESHOLD,
    tile: Tile = None,
    scale: Scale = None,
    ensemble: Ensemble = 1,
    precision: Precision = "auto",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a damaged source instead of bridging the damage.")
    ] = False,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with work that was stopped.")] = False,
) -> None:
    """Bring a video to a higher frame rate, or slow it down; its sound, its texts and every frame of it are kept."""
    target = target or default_target(source, factor, fps, slow, codec=codec)
    if report_file:
        check_report(report_file, source, target)
    options: dict[str, Any] = {"factor": factor, "fps": fps, "slow": slow, "vfr": vfr, "mute": mute, "cut": cut}
    options |= {"model": model, "device": device, "codec": codec, "crf": crf, "cut_threshold": cut_threshold}
    options |= {"preset": preset, "encoder_options": options_of(encoder_option or [])}
    options |= {"start": start, "end": end, "source_fps": source_fps, "deinterlace": deinterlace, "dedup": dedup}
    options |= {
        "overlays": overlays,
        "tile": tile,
        "scale": scale,
        "ensemble": ensemble,
        "precision": precision,
        "strict": strict,
        "overwrite": overwrite,
        "resume": resume,
    }
    with frame_bar() as (bar, task):
        report = interpolate_video(
            source, target, progress=lambda done, total: bar.update(task, completed=done, total=total), **options
        )
    if report_file and not (report.already_complete and report_file.exists()):
        write_report(report_file, report)
    show_report(target, report)


def check_report(path: Path, source: Path, target: Path) -> None:
    """Check before the work that a report can be written, and that no other file is lost by it.

    Raises:
        VideoError: it cannot, or the path is that of something else.
    """
    if path.absolute() == target.absolute():
        raise VideoError(f"--report: {path} is the result itself: name another file")
    try:
        check_output_file(path, inputs=[source, target], overwrite=True)
    except VideoError as error:
        raise VideoError(f"--report: {error}") from error
    if path.exists() and path.stat().st_size and not is_report(path):
        raise VideoError(f"--report: {path} exists and is not a report of midframe: name another file")


def is_report(path: Path) -> bool:
    """Whether a file is a report that midframe wrote."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.keys() >= {"frames_in", "frames_out", "problems"}


def write_report(path: Path, report: VideoReport) -> None:
    """Write what became of a video as JSON."""
    try:
        with whole_file(path) as unfinished:
            unfinished.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise VideoError(f"{path} cannot be written ({error.strerror or error}); the result is complete") from error


def show_report(target: Path, report: VideoReport) -> None:
    """Print what became of a video; a VideoError tells what is wrong with the result."""
    console = err if target == STREAM else out
    if report.already_complete:
        print_line(console, f"{target} is complete already: it was made with the same settings")
        return
    parts = f"{report.frames_kept} kept, {report.frames_made} made, {report.frames_held} held, {report.cuts} cuts"
    parts += f", {report.frames_repeated} repeats replaced" if report.frames_repeated else ""
    print_line(console, f"{target}: {report.frames_out} frames of {report.frames_in}: {parts}")
    facts = f"{float(report.length_out):.3f} s of {float(report.length_in):.3f} s"
    if report.sound_after_picture_out is not None and report.sound_after_picture_in is not None:
        ends = (float(report.sound_after_picture_out), float(report.sound_after_picture_in))
        facts += ", sound ends {:+.3f} s after the picture (source {:+.3f} s)".format(*ends)
    print_line(console, f"{facts}, worst timing error {float(report.worst_error) * 1000:.2f} ms")
    for name in report.converted:
        print_line(err, f"midframe: converted: {name}")
    for name in report.left_out:
        print_line(err, f"midframe: left out: {name}")
    for text in report.warnings:
        print_line(err, f"midframe: warning: {text}")
    for place in report.damage:
        print_line(err, f"midframe: damaged: {place}")
    if report.problems:
        raise VideoError(f"{target} is not as it should be: {'; '.join(report.problems)}")
    if report.damage:
        raise VideoError(f"the source is damaged in {len(report.damage)} places; {target} is complete and bridges them")


def options_of(texts: list[str]) -> dict[str, str]:
    """The options of texts like tune=film."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in pairs if not equals or not name]:
        raise ValueError(f"--encoder-option {wrong[0]}: a name and a value are needed, as in tune=film")
    return {name: value for name, _, value in pairs}


def default_target(
    source: Path, factor: int | None, fps: str | None, slow: float | None, *, codec: str | None = None
) -> Path:
    """The name of a result that was given none: of the source's own container where that takes the codec.

    Args:
        source, factor, fps, slow: as of `interpolate_video`.
        codec: that was asked for, if any.
    """
    parts = [f"x{factor or 2}"] if factor or not (fps or slow) else []
    parts += [f"{fps}fps".replace("/", "-")] if fps else []
    parts += [f"slow{slow:g}"] if slow else []
    if source == STREAM:
        return STREAM
    pictures = is_pattern(source) or source.is_dir()
    if is_pattern(source):
        source = source.parent if source.parent.name else source.parent.absolute()
    suffix = source.suffix if pictures or source.suffix.lower() in KEPT_SUFFIXES else ".mp4"
    if codec:
        usual = CODEC_SUFFIXES.get(find_encoder(codec).canonical_name, "")
        of_film = not pictures and suffix.lower() not in ANIMATIONS
        suffix = suffix if of_film and (not usual or suffix.lower() in (usual, FOR_ALL_CODECS)) else usual or ".mp4"
    return source.with_name(f"{source.stem}-{'-'.join(parts)}{suffix}")


@app.command()
def compare(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A video.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="The result; IN-compare.mp4 if not given.")
    ] = None,
    factor: Annotated[int, typer.Option(help="Multiple of the frame rate: 2, 4 or 8.")] = 2,
    slower: Annotated[int, typer.Option(min=1, help="How many times slower than the video.")] = DEFAULT_SLOWER,
    start: Annotated[float, typer.Option(min=0, help="Where to begin, in seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Where to end, in seconds.")] = None,
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    tile: Tile = None,
    scale: Scale = None,
    ensemble: Ensemble = 1,
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Show the original beside the interpolated video, at quarter speed, in one labelled video."""
    target = target or source.with_name(f"{source.stem}-compare.mp4")
    options: dict[str, Any] = {"factor": factor, "slower": slower, "part": Part(start, end), "model": model}
    options |= {
        "device": device,
        "tile": tile,
        "scale": scale,
        "ensemble": ensemble,
        "precision": precision,
        "overwrite": overwrite,
    }
    with frame_bar() as (bar, task):
        shown = compare_video(
            source, target, progress=lambda done, total: bar.update(task, completed=done, total=total), **options
        )
    print_line(out, f"{target}: {shown} frames compared")


@app.command()
def score(
    source: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video.")],
    target: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="A folder; VIDEO-score if not given.")] = None,
    start: Annotated[float, typer.Option(min=0, help="Where to begin, in seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Where to end, in seconds.")] = None,
    minterpolate: Annotated[bool, typer.Option(help="Measure FFmpeg's motion compensation too.")] = True,
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    tile: Tile = None,
    scale: Scale = None,
    ensemble: Ensemble = 1,
    precision: Precision = "auto",
) -> None:
    """Drop every second frame of a video, make it again, and say how near it comes, beside simpler ways."""
    from midframe.evaluation.score_video import save_scores, score_video

    target = target or source.with_name(f"{source.stem}-score")
    check_output_folder(target, inputs=[source])
    tool = Interpolator(model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision)
    options: dict[str, Any] = {"name": Path(model).stem, "part": Part(start, end), "minterpolate": minterpolate}
    with frame_bar() as (bar, task):
        scores = score_video(
            source, tool, progress=lambda done, total: bar.update(task, completed=done, total=total), **options
        )
    save_scores(scores, target)
    table = Table("method", "PSNR dB", "SSIM", "error")
    for method in scores.methods:
        psnr, ssim, error = (scores.mean(of, method) for of in ("psnr", "ssim", "error"))
        table.add_row(method, f"{psnr:.2f}", f"{ssim:.3f}", f"{error:.2f}")
    out.print(table)
    out.print(f"{len(scores.frames)} frames; every one of them, and the worst, in {target}", soft_wrap=True)
