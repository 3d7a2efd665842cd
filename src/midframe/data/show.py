"""Show a dataset: its report, a histogram of motion, a contact sheet."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.data.aliases import rename_metadata, rename_split
from midframe.data.create import REPORT_FILE
from midframe.data.shards import Frames, Shards, encode_jpeg, shard_files
from midframe.errors import DatasetError
from midframe.outputs import atomic_write

SHEET_FILE, MOTION_FILE = "contact.jpg", "motion.png"
SHEET_ROWS, SHEET_COLUMNS = 8, 6


def read_report(dataset: Path) -> dict[str, Any]:
    """Read the report that `create_dataset` wrote; old names in it are replaced.

    Raises:
        DatasetError: there is no report.
    """
    path = dataset / REPORT_FILE
    if not path.exists():
        raise DatasetError(
            f"{path} does not exist: run `midframe dataset create VIDEOS {dataset}` first"
        )
    report: dict[str, Any] = json.loads(path.read_text())
    report["files"] = [rename_metadata(file) for file in report["files"]]
    report["samples"] = {rename_split(name): count for name, count in report["samples"].items()}
    return report


def make_contact_sheet(dataset: Path) -> Path:
    """Write first, middle and last frames of samples across the training split side by side."""
    shards = Shards(shard_files(dataset / "train"))
    chosen = np.linspace(0, len(shards) - 1, min(len(shards), SHEET_ROWS * SHEET_COLUMNS)).astype(
        int
    )
    strips = [_make_strip(shards.read_frames(int(index))) for index in chosen]
    blank = np.zeros_like(strips[0])
    strips += [blank] * (-len(strips) % SHEET_COLUMNS)
    rows = [
        np.concatenate(strips[start : start + SHEET_COLUMNS], 1)
        for start in range(0, len(strips), SHEET_COLUMNS)
    ]
    path = dataset / SHEET_FILE
    _write_file(path, lambda unfinished: unfinished.write_bytes(encode_jpeg(np.concatenate(rows))))
    return path


def draw_motion(dataset: Path, report: dict[str, Any]) -> Path:
    """Draw a histogram of the samples' mean motion."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    edges, counts = report["motion_histogram"]["edges"], report["motion_histogram"]["counts"]
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.bar([f"{low}-{high}" for low, high in pairwise(edges)], counts)
    axes.set_xlabel("mean motion from the first frame to the last, pixels")
    axes.set_ylabel("samples")
    path = dataset / MOTION_FILE
    _write_file(path, lambda unfinished: figure.savefig(unfinished, dpi=100, format="png"))
    return path


def _write_file(path: Path, write: Callable[[Path], object]) -> None:
    try:
        with atomic_write(path) as unfinished:
            write(unfinished)
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be written ({error.strerror}): check the permissions of the folder"
        ) from error


def _make_strip(frames: Frames) -> Frames:
    half = frames.shape[1] // 2
    chosen = [frames[index] for index in (0, len(frames) // 2, len(frames) - 1)]
    small = [cv2.resize(frame, (half, half), interpolation=cv2.INTER_AREA) for frame in chosen]
    return np.pad(np.concatenate(small, 1), ((2, 2), (2, 2), (0, 0)))
