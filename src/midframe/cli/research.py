"""Commands to train, measure and export networks, and to examine this machine."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import midframe
from midframe.cli.options import takes_interpolation_options
from midframe.cli.parameters import Minterpolate, Overwrite
from midframe.cli.shared import command, err, out, print_line, progress_bar
from midframe.errors import CheckpointError, DatasetError, OptionError
from midframe.models.shipped import find_weights
from midframe.options import InterpolationOptions
from midframe.outputs import check_output_file, check_output_folder

if TYPE_CHECKING:
    from midframe.evaluation.report import Report
    from midframe.training.config import TrainConfig

log = logging.getLogger(__name__)


@command(
    epilog="""
    midframe train configs/flowsep.toml --set batch=8
    midframe train configs/flowsep.toml --resume
    midframe train --resume --run runs/mine --set steps=40000
    """
)
def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.toml]", help="Settings, as in configs/.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; can be repeated."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of this training; runs/CONFIG if not given."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue a training that was interrupted, with the settings in its folder; a "
            "finished one with more steps or minutes.",
        ),
    ] = False,
) -> None:
    """Train a network on a dataset."""
    folder = run or (Path("runs") / config.stem if config else None)
    if folder is None or not (config or resume):
        raise OptionError("CONFIG.toml is missing: name it, or continue a run by --resume --run")
    from midframe.training.loop import train as run_training
    from midframe.training.processes import is_first_process
    from midframe.training.run_folder import BEST_FILE

    settings = _load_settings(config, folder, change or [], resume=resume)
    scores = run_training(
        settings,
        folder,
        resume=resume,
        progress=lambda entry: out.print_json(json.dumps(_rounded(entry)), indent=None),
    )
    if not is_first_process():
        return
    text = ", ".join(f"{name} {value:.2f} dB" for name, value in scores.items())
    out.print(f"{folder}: {text or 'no samples for validation'}", soft_wrap=True)
    out.print(f"the best weights: --model {folder / BEST_FILE}", soft_wrap=True)


def _load_settings(
    config: Path | None, run: Path, changes: list[str], *, resume: bool
) -> "TrainConfig":
    """Read the settings of a new run from its file, and those of a run to resume from its folder,
    with a warning if the file has others."""
    from midframe.training.config import find_differences, load_config
    from midframe.training.run_folder import find_config

    path = find_config(run) if resume else config
    assert path is not None, "a new run has a file"
    settings = load_config(path, changes)
    if resume and config and (names := find_differences(settings, load_config(config, changes))):
        log.warning(
            "%s: resuming with the settings in %s, not in %s", ", ".join(names), path, config
        )
    return settings


def _rounded(entry: Mapping[str, float]) -> dict[str, float]:
    """Return an entry of the log with six significant digits; whole numbers stay exact."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.6g}")
        for name, value in entry.items()
    }


@command()
def curves(run: Annotated[Path, typer.Argument(help="The folder of a training.")]) -> None:
    """Plot the training curves of a run."""
    from midframe.training.curves import draw_curves

    out.print(str(draw_curves(run)), soft_wrap=True)


@command(
    epilog="""
    midframe evaluate middlebury --model sepconv --save results
    """
)
@takes_interpolation_options
def evaluate(
    dataset: Annotated[
        Path,
        typer.Argument(help="A folder of scenes in the layout of Middlebury, Vimeo-90K or others."),
    ],
    *,
    interpolation: InterpolationOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder for the interpolated frames and a page to compare them on.",
        ),
    ] = None,
    minterpolate: Minterpolate = True,
    overwrite: Overwrite = False,
) -> None:
    """Score a network on scenes with ground truth, with baselines: PSNR, SSIM, error,
    sharpness."""
    from midframe.data.layouts import find_scenes

    scenes = find_scenes(dataset)
    if save:
        check_output_folder(save, inputs=[dataset])
        if (save / "scores.json").exists() and not overwrite:
            raise DatasetError(f"{save} has scores: name another folder, or give --overwrite")
    find_weights(interpolation.model)
    from midframe.evaluation.page import write_page
    from midframe.evaluation.report import FRAMES_FOLDER
    from midframe.evaluation.report import evaluate as score_scenes
    from midframe.interpolator import Interpolator

    if save:
        check_output_folder(save / FRAMES_FOLDER, inputs=[dataset])
    interpolator = Interpolator.from_options(interpolation)
    name = Path(interpolation.model).stem
    with progress_bar(len(scenes)) as show:
        report = score_scenes(
            scenes, interpolator, name=name, minterpolate=minterpolate, save=save, progress=show
        )
    page = write_page(report, save, f"{name} on {dataset.name}") if save else None
    if as_json:
        print(json.dumps(report.as_json(), indent=1))
        return
    print_scores(report)
    if page:
        out.print(str(page), soft_wrap=True)


def print_scores(report: "Report") -> None:
    """Print a table of all scenes; at 80 columns only their names are wrapped."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    baselines = (f"{method} dB" for method in report.methods[1:])
    headings = ("PSNR dB", "SSIM", "error", "sharpness", *baselines)
    numbers = (
        Column(heading.replace(" ", "\n"), justify="right", no_wrap=True) for heading in headings
    )
    table = Table(Column("scene", overflow="fold"), *numbers, box=SIMPLE_HEAD)
    for row in report.rows():
        own, *others = row.measures.values()
        values = [f"{own.psnr:.2f}", f"{own.ssim:.3f}", f"{own.error:.2f}", f"{own.sharpness:.2f}"]
        values += [f"{other.psnr:.2f}" for other in others]
        table.add_row(" ".join(filter(None, (row.group, row.scene))), *values)
    out.print(table)


@command(
    epilog="""
    midframe export flowsep flowsep.onnx
    """
)
def export(
    model: Annotated[str, typer.Argument(help="Name or file of flowsep's weights.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file.")],
    overwrite: Overwrite = False,
) -> None:
    """Export a network as an ONNX file."""
    check_output_file(target, inputs=[Path(model)], overwrite=overwrite, error=CheckpointError)
    find_weights(model)
    from midframe.export import export_onnx

    network = midframe.load_model(model)
    export_onnx(network, target, progress=lambda phase: err.print(f"{phase} ...", highlight=False))
    out.print(str(target), soft_wrap=True)


@command()
def models() -> None:
    """List the shipped weights."""
    for name, facts in midframe.list_models().items():
        out.print(f"{name}: {facts['summary']}", soft_wrap=True)


@command(
    epilog="""
    midframe doctor
    midframe doctor --measure --json
    """
)
def doctor(
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Measure frames per second of each model at 480p, 720p and 1080p."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report what this machine can do: devices, operators, encoders, models, and what to install
    for more."""
    from midframe.doctor import describe, examine

    facts: dict[str, Any] = {"midframe": midframe.__version__} | examine()
    if measure:
        facts["frames_per_second"] = measure_shipped_models()
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    for name, found in describe(facts).items():
        out.print(f"[bold]{name}[/bold]: {found}", soft_wrap=True, highlight=False)
    for advice in facts["advice"]:
        print_line(out, f"for more: {advice}")
    if measure:
        print_speeds(facts["frames_per_second"])


def measure_shipped_models() -> dict[str, dict[str, float | None]]:
    """Measure the speed of the shipped models, the smallest first, and print each result to
    standard error."""
    from midframe.speeds import measure_speeds

    print_line(err, "measuring speeds takes some minutes; the slowest model is the last")

    def report(model: str, size: str, rate: float) -> None:
        print_line(err, f"{model} at {size}: {rate:.2f} frames per second")

    models = sorted(midframe.list_models(), key=lambda name: find_weights(name).stat().st_size)
    return measure_speeds(models, report)


def print_speeds(speeds: dict[str, dict[str, float | None]]) -> None:
    """Print a table of frames per second."""
    from rich.table import Table

    sizes = list(next(iter(speeds.values())))
    table = Table("frames per second", *sizes)
    for model, rates in speeds.items():
        table.add_row(
            model, *("too slow" if rate is None else f"{rate:.2f}" for rate in rates.values())
        )
    out.print(table)
