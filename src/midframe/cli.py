"""The command line: options, progress bars and exit statuses over the library."""

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

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
from rich.table import Table

import midframe
from midframe.errors import MidframeError, VideoError
from midframe.images import Array, read_image, write_image
from midframe.interpolator import DEFAULT_MODEL, Interpolator
from midframe.video.compare import DEFAULT_SLOWER, compare_video
from midframe.video.encoders import DEFAULT_CODEC, DEFAULT_CRF, ENCODERS
from midframe.video.pictures import is_pattern
from midframe.video.pipeline import interpolate_video
from midframe.video.pipes import STREAM
from midframe.video.reader import Part
from midframe.video.report import VideoReport
from midframe.video.retimer import CUTS, DEFAULT_CUT
from midframe.video.scenes import DEFAULT_THRESHOLD

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(midframe.__doc__ or "").partition("\n")[0],
)
dataset_app = typer.Typer(no_args_is_help=True, help="Make data sets from videos, and look at them.")
app.add_typer(dataset_app, name="dataset")
out, err = Console(), Console(stderr=True)
KEPT_SUFFIXES = (".mkv", ".mov", ".gif", ".apng")
"""Endings that a result has from its source, where it is given no name; others become .mp4."""

Model = Annotated[str, typer.Option(help="Name or file of weights; `midframe models` lists the names.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Tile = Annotated[int | None, typer.Option(help="Side of the tiles of large frames in pixels; 0 for never.")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
HoldOut = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Keep what fits (a file's name, or its source) for validation; may be repeated."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]


def main() -> NoReturn:
    """Run the command line. Status 0: done; 1: a MidframeError, in one line; 2: wrong usage; 130: interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except (MidframeError, ValueError) as error:
        err.print(f"midframe: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        err.print(f"midframe: this command needs {error.name}: pip install 'midframe\\[train]'", style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("midframe: stopped")
        sys.exit(130)
    sys.exit(0)


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
    codec: Annotated[str, typer.Option(help=f"{', '.join(ENCODERS)}, or an encoder of FFmpeg.")] = DEFAULT_CODEC,
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
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with work that was stopped.")] = False,
) -> None:
    """Bring a video to a higher frame rate, or slow it down; its sound, its texts and every frame of it are kept."""
    target = target or default_target(source, factor, fps, slow)
    options: dict[str, Any] = {"factor": factor, "fps": fps, "slow": slow, "vfr": vfr, "mute": mute, "cut": cut}
    options |= {"model": model, "device": device, "codec": codec, "crf": crf, "cut_threshold": cut_threshold}
    options |= {"preset": preset, "encoder_options": options_of(encoder_option or [])}
    options |= {"start": start, "end": end, "source_fps": source_fps, "deinterlace": deinterlace, "dedup": dedup}
    options |= {"overlays": overlays, "tile": tile, "precision": precision, "overwrite": overwrite, "resume": resume}
    with frame_bar() as (bar, task):

        def show(done: float, total: float | None) -> None:
            rate = bar.tasks[task].speed
            bar.update(task, completed=done, total=total, rate=f"{rate:.2f} frames/s" if rate else "")

        report = interpolate_video(source, target, progress=show, **options)
    if report_file:
        report_file.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    show_report(target, report)


def show_report(target: Path, report: VideoReport) -> None:
    """Print what became of a video; a VideoError tells what is wrong with the result."""
    console = err if target == STREAM else out
    parts = f"{report.frames_kept} kept, {report.frames_made} made, {report.frames_held} held, {report.cuts} cuts"
    parts += f", {report.frames_repeated} repeats replaced" if report.frames_repeated else ""
    console.print(f"{target}: {report.frames_out} frames of {report.frames_in}: {parts}", soft_wrap=True)
    facts = f"{float(report.length_out):.3f} s of {float(report.length_in):.3f} s"
    if report.sound_after_picture_out is not None and report.sound_after_picture_in is not None:
        ends = (float(report.sound_after_picture_out), float(report.sound_after_picture_in))
        facts += ", sound ends {:+.3f} s after the picture (source {:+.3f} s)".format(*ends)
    console.print(f"{facts}, worst timing error {float(report.worst_error) * 1000:.2f} ms", soft_wrap=True)
    for name in report.converted:
        err.print(f"midframe: converted: {name}", markup=False)
    for name in report.left_out:
        err.print(f"midframe: left out: {name}", markup=False)
    if report.problems:
        raise VideoError(f"{target} is not as it should be: {'; '.join(report.problems)}")


def options_of(texts: list[str]) -> dict[str, str]:
    """The options of texts like tune=film."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in pairs if not equals or not name]:
        raise ValueError(f"--encoder-option {wrong[0]}: a name and a value are needed, as in tune=film")
    return {name: value for name, _, value in pairs}


def default_target(source: Path, factor: int | None, fps: str | None, slow: float | None) -> Path:
    """The name of a result that was given none: of the source's own container where that takes every codec."""
    parts = [f"x{factor or 2}"] if factor or not (fps or slow) else []
    parts += [f"{fps}fps".replace("/", "-")] if fps else []
    parts += [f"slow{slow:g}"] if slow else []
    if source == STREAM:
        return STREAM
    pictures = is_pattern(source) or source.is_dir()
    if is_pattern(source):
        source = source.parent if source.parent.name else source.parent.absolute()
    suffix = source.suffix if pictures or source.suffix.lower() in KEPT_SUFFIXES else ".mp4"
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
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Show the original beside the interpolated video, at quarter speed, in one labelled video."""
    target = target or source.with_name(f"{source.stem}-compare.mp4")
    options: dict[str, Any] = {"factor": factor, "slower": slower, "part": Part(start, end), "model": model}
    options |= {"device": device, "tile": tile, "precision": precision, "overwrite": overwrite}
    with frame_bar() as (bar, task):
        shown = compare_video(
            source, target, progress=lambda done, total: bar.update(task, completed=done, total=total), **options
        )
    out.print(f"{target}: {shown} frames compared", soft_wrap=True)


@app.command()
def image(
    first: Annotated[Path, typer.Argument(help="A picture.")],
    second: Annotated[Path, typer.Argument(help="Another of the same size.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The result; FIRST-mid.png if not given. Several are numbered."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many frames to make, evenly spaced.")] = 1,
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    tile: Tile = None,
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Make the frame between two pictures, or several."""
    target = target or first.with_name(f"{first.stem}-mid.png")
    names = (
        [target]
        if count == 1
        else [target.with_stem(f"{target.stem}-{n:0{len(str(count))}}") for n in range(1, count + 1)]
    )
    first_picture, second_picture = check_pictures(first, second, names, overwrite)
    tool = Interpolator(model, device=device, tile=tile, precision=precision)
    times = [n / (count + 1) for n in range(1, count + 1)]
    with share_bar(count) as show:
        made = tool.interpolate_many(first_picture, second_picture, times, progress=show)
    for name, picture in zip(names, made, strict=True):
        write_image(name, picture)
        out.print(str(name), soft_wrap=True)


@app.command()
def evaluate(
    dataset: Annotated[Path, typer.Argument(help="A folder of scenes, as Middlebury or Vimeo-90K lay them out.")],
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    tile: Tile = None,
    precision: Precision = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    save: Annotated[Path | None, typer.Option(help="A folder for the made frames and a page that shows them.")] = None,
    minterpolate: Annotated[bool, typer.Option(help="Measure FFmpeg's motion compensation too.")] = True,
) -> None:
    """Score a network on scenes with truth: PSNR, SSIM and error, beside simpler ways measured in the same run."""
    from midframe.data.layouts import find_scenes
    from midframe.evaluation.page import write_page
    from midframe.evaluation.report import evaluate as score_scenes

    scenes = find_scenes(dataset)
    tool = Interpolator(model, device=device, tile=tile, precision=precision)
    name = Path(model).stem
    with share_bar(len(scenes)) as show:
        report = score_scenes(scenes, tool, name=name, minterpolate=minterpolate, save=save, progress=show)
    page = write_page(report, save, f"{name} on {dataset.name}") if save else None
    if as_json:
        print(json.dumps(report.as_json(), indent=1))
        return
    table = Table("scene", "PSNR dB", "SSIM", "error", *(f"{method}, dB" for method in report.methods[1:]))
    for row in report.rows():
        own, *others = row.measures.values()
        values = [f"{own.psnr:.2f}", f"{own.ssim:.3f}", f"{own.error:.2f}", *(f"{other.psnr:.2f}" for other in others)]
        table.add_row(" ".join(filter(None, (row.group, row.scene))), *values)
    out.print(table)
    if page:
        out.print(str(page), soft_wrap=True)


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
    precision: Precision = "auto",
) -> None:
    """Drop every second frame of a video, make it again, and say how near it comes, beside simpler ways."""
    from midframe.evaluation.own_video import save_scores, score_video

    target = target or source.with_name(f"{source.stem}-score")
    if target.exists() and not target.is_dir():
        raise VideoError(f"{target} is a file: name a folder for the scores")
    tool = Interpolator(model, device=device, tile=tile, precision=precision)
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


@app.command()
def kernels(
    first: Annotated[Path, typer.Argument(help="A picture.")],
    second: Annotated[Path, typer.Argument(help="Another of the same size.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="The figure; FIRST-kernels.png if not given.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="A pixel; may be repeated. The centre if not given.")
    ] = None,
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Draw the kernels of chosen pixels beside what they see, and the motion that all kernels show."""
    from midframe.evaluation.kernels import draw_kernels

    target = target or first.with_name(f"{first.stem}-kernels.png")
    pictures = check_pictures(first, second, [target], overwrite)
    height, width = pictures[0].shape[:2]
    points = [point_of(text) for text in at or [f"{width // 2},{height // 2}"]]
    draw_kernels(target, Interpolator(model, device=device, precision=precision), *pictures, points)
    out.print(str(target), soft_wrap=True)


@dataset_app.command("create")
def dataset_create(
    videos: Annotated[Path, typer.Argument(help="A folder of videos, or one.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder of the data set. An interrupted one goes on.")
    ],
    frames: Annotated[int, typer.Option(help="Frames in a sample, odd.")] = 3,
    per_clip: Annotated[int, typer.Option(help="The most samples from one clip.")] = 400,
    size: Annotated[int, typer.Option(help="Height and width of a sample in pixels.")] = 150,
    seed: Annotated[int, typer.Option(help="Chance begins here.")] = 0,
    stills: Annotated[Path | None, typer.Option(help="A folder of photographs to add, with made motion.")] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(help="A CSV list with the columns file, licence, attribution, source; may be repeated."),
    ] = None,
    hold_out: HoldOut = None,
    workers: Annotated[int | None, typer.Option(help="Processes; as many as cores if not given.")] = None,
) -> None:
    """Choose moving, textured patches from videos, without cuts and repeats, and store them as WebDataset shards."""
    from midframe.data.create import create_dataset
    from midframe.data.harvest import CreateConfig
    from midframe.data.show import draw_motion
    from midframe.data.triplets import Selection

    selection = Selection(size=size)
    config = CreateConfig(selection, frames=frames, per_clip=per_clip, hold_out=tuple(hold_out or ()), seed=seed)
    with file_bar() as show:
        report = create_dataset(
            videos, target, config, stills=stills, sources=sources or (), workers=workers, progress=show
        )
    draw_motion(target, report)
    print_report(report)


@dataset_app.command("import")
def dataset_import(
    source: Annotated[
        Path, typer.Argument(metavar="FILES", help="TFRecord files, or a folder of them or of Vimeo-90K.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder of the data set. An interrupted one goes on.")
    ],
    hold_out: HoldOut = None,
) -> None:
    """Bring in a data set made for other programs: TFRecord with img1, img2, img3, or Vimeo-90K."""
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
    """Write a data set as TFRecord files with the features img1, img2, img3, height and width."""
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


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Settings, as in configs/.")],
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of this training; runs/CONFIG if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that stopped.")] = False,
) -> None:
    """Train a network on a data set."""
    from midframe.training.config import load_config
    from midframe.training.loop import train as run_training

    settings = load_config(config, change or [])
    folder = run or Path("runs") / config.stem
    scores = run_training(
        settings, folder, resume=resume, progress=lambda entry: out.print_json(json.dumps(entry), indent=None)
    )
    out.print(f"{folder}: " + ", ".join(f"{name} {value:.2f} dB" for name, value in scores.items()), soft_wrap=True)


@app.command()
def curves(run: Annotated[Path, typer.Argument(help="The folder of a training.")]) -> None:
    """Draw the curves of a training."""
    from midframe.training.curves import draw_curves

    out.print(str(draw_curves(run)), soft_wrap=True)


@app.command()
def models() -> None:
    """List the shipped weights."""
    for name, facts in midframe.list_models().items():
        out.print(f"{name}: {facts['summary']}", soft_wrap=True)


@app.command()
def doctor() -> None:
    """Tell what this machine can do: devices, fast kernels, encoders."""
    from midframe.doctor import examine

    for name, found in examine().items():
        out.print(f"[bold]{name}[/bold]: {found}", soft_wrap=True, highlight=False)


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


def check_pictures(first: Path, second: Path, targets: list[Path], overwrite: bool) -> tuple[Array, Array]:
    """Read both pictures and see that they fit and that nothing is lost by writing."""
    for target in targets:
        if target.exists() and not overwrite:
            raise VideoError(f"{target} exists: name another OUT, or give --overwrite")
    pictures = [read_image(path) for path in (first, second)]
    sizes = [
        f"{path} is {picture.shape[1]}x{picture.shape[0]}"
        for path, picture in zip((first, second), pictures, strict=True)
    ]
    if pictures[0].shape != pictures[1].shape:
        raise VideoError(f"the pictures differ in size: {', '.join(sizes)}: scale one of them")
    return pictures[0], pictures[1]


def point_of(text: str) -> tuple[int, int]:
    """Read a pixel from "X,Y"."""
    match = re.fullmatch(r"(\d+),(\d+)", text.strip())
    if not match:
        raise ValueError(f"--at is {text!r}: a pixel as X,Y is needed, for example 320,180")
    return int(match[1]), int(match[2])


def print_report(report: dict[str, Any]) -> None:
    """Print the counts of a data set."""
    table = Table("file", "part", "sequences", "samples", "note")
    for file in report["files"]:
        table.add_row(file["file"], file["part"], str(file["sequences"]), str(file["samples"]), file["error"] or "")
    out.print(table)
    out.print(", ".join(f"{count} samples for {split}" for split, count in report["samples"].items()))
