"""Drawing a training: loss and validation scores against steps."""

import json
from pathlib import Path
from typing import Any

from midframe.errors import CheckpointError
from midframe.outputs import whole_file


def read_log(run: Path) -> list[dict[str, Any]]:
    """The entries of a run's `log.jsonl`. After a resume, entries of steps done twice keep their last version."""
    path = run / "log.jsonl"
    if not path.exists():
        raise CheckpointError(f"{path} does not exist: name the folder of a training")
    entries: dict[tuple[int, bool], dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        entries[entry["step"], "loss" in entry] = entry
    return [entries[key] for key in sorted(entries)]


def draw_curves(run: Path) -> Path:
    """Draw `curves.png` in a run folder and return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = read_log(run)
    panels = [["loss"], ["guide"], ["patch_psnr", "frame_psnr"]]
    panels = [names for names in panels if any(names[0] in entry for entry in entries)]
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            points = [(entry["step"], entry[name]) for entry in entries if name in entry]
            axes.plot([step for step, _ in points], [value for _, value in points], label=name)
        axes.set_xlabel("steps")
        axes.set_yscale("log" if names == ["loss"] else "linear")
        axes.grid(alpha=0.3)
        axes.legend()
    path = run / "curves.png"
    try:
        with whole_file(path) as unfinished:
            figure.savefig(unfinished, dpi=100, format="png")
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror}): see that the run can be written to"
        ) from error
    return path
