"""Draw the curves of a training run: losses and validation scores over steps."""

import json
import logging
from pathlib import Path
from typing import Any

from midframe.errors import CheckpointError
from midframe.outputs import atomic_write
from midframe.training.aliases import rename_log_entry

log = logging.getLogger(__name__)

PANELS = (["loss"], ["flow_supervision"], ["patch_psnr", "frame_psnr"])
"""Log entries that are drawn together."""


def read_log(run: Path) -> list[dict[str, Any]]:
    """Read the entries of a run's `log.jsonl`, sorted by step.

    Steps that were repeated after a resume keep their last entry. Old names are replaced. A line
    that was cut off, since the run was killed or the disk was full, is skipped.

    Raises:
        CheckpointError: there is no log.
    """
    path = run / "log.jsonl"
    if not path.exists():
        raise CheckpointError(f"{path} does not exist: name the folder of a training run")
    entries: dict[tuple[int, bool], dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        try:
            entry = rename_log_entry(json.loads(line))
        except ValueError:
            log.warning("%s has an incomplete line, which is skipped", path)
            continue
        entries[entry["step"], "loss" in entry] = entry
    return [entries[key] for key in sorted(entries)]


def draw_curves(run: Path) -> Path:
    """Draw `curves.png` in a run folder and return its path.

    Raises:
        CheckpointError: there is no log, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = read_log(run)
    logged = {name for entry in entries for name in entry}
    panels = [names for names in PANELS if logged.intersection(names)] or [["loss"]]
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            baseline = next(
                (entry[f"average_{name}"] for entry in entries if f"average_{name}" in entry), None
            )
            if baseline is not None:
                axes.axhline(baseline, color="grey", linestyle="--", label=f"average_{name}")
            points = [(entry["step"], entry[name]) for entry in entries if name in entry]
            marker = "o" if len(points) == 1 else None  # a line needs two points
            axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                marker=marker,
                label=name,
            )
        axes.set_xlabel("steps")
        axes.set_yscale("log" if names == ["loss"] else "linear")
        axes.grid(alpha=0.3)
        axes.legend()
    path = run / "curves.png"
    try:
        with atomic_write(path) as unfinished:
            figure.savefig(unfinished, dpi=100, format="png")
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror}): check the permissions of the folder"
        ) from error
    return path
