"""Score a network on scenes with ground truth, beside baselines measured in the same run."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from midframe.data.layouts import CENTRE, HALF, WHOLE, Scene
from midframe.device_interpolator import FractionProgress, scale_progress
from midframe.errors import DatasetError
from midframe.evaluation import motion_compensation
from midframe.evaluation.figures import catch_write_errors
from midframe.evaluation.measures import (
    AVERAGE,
    COLUMNS,
    FIRST_FRAME,
    SSIM_WINDOW,
    Measures,
    average,
    measure,
    to_json_values,
    values_for_mean,
)
from midframe.interpolator import Interpolator
from midframe.media.pictures.decoding import read_image_format
from midframe.media.pictures.images import Array, read_image, write_image
from midframe.outputs import atomic_write

FRAMES_FOLDER = "interpolated"
"""Folder of the interpolated frames."""
WORST_SCENES = 12
"""Number of the network's worst scenes that the page shows."""


@dataclass(frozen=True)
class SceneScores:
    """Measurements of one scene."""

    scene: str
    group: str
    measures: dict[str, Measures]
    """Measurements by method."""


@dataclass
class Report:
    """Scores of all scenes."""

    methods: list[str]
    """Names of the methods, the network first."""
    scenes: list[SceneScores] = field(default_factory=list)
    shown: list[tuple[SceneScores, dict[str, Array]]] = field(default_factory=list)
    """The network's worst scenes, worst first, with the images of each method and "truth"."""

    def add(self, scene: Scene, outputs: dict[str, Array]) -> SceneScores:
        """Score the image of each method for a scene."""
        truth = read_view(scene.middle, scene.view)
        measures = {method: measure(truth, each) for method, each in outputs.items()}
        scores = SceneScores(scene.name, scene.group, measures)
        self.scenes.append(scores)
        self.shown.append((scores, {"truth": truth, **outputs}))
        self.shown.sort(key=lambda each: each[0].measures[self.methods[0]].psnr)
        del self.shown[WORST_SCENES:]
        return scores

    def values(self, method: str, column: str, group: str | None = None) -> list[float]:
        """Return one measurement of one method for every scene, or for those of a group."""
        chosen = (scene for scene in self.scenes if group in (None, scene.group))
        return [getattr(scene.measures[method], column) for scene in chosen]

    def rows(self) -> list[SceneScores]:
        """Return all scenes, the mean of each group if there are several, and mean and median."""
        groups = sorted({scene.group for scene in self.scenes})
        if len(groups) < 2:
            groups = []
        means = [self._summary(f"mean, {group}", np.mean, group) for group in groups]
        totals = [self._summary("mean", np.mean), self._summary("median", np.median)]
        return [*self.scenes, *means, *totals]

    def _summary(
        self, name: str, reduce: Callable[[list[float]], Any], group: str | None = None
    ) -> SceneScores:
        measures = {}
        for method in self.methods:
            values = {
                column: float(reduce(values_for_mean(self.values(method, column, group))))
                for column in COLUMNS
            }
            measures[method] = Measures(**values)
        return SceneScores(name, "", measures)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rows for JSON; infinity and NaN are None."""
        return [
            {
                "scene": row.scene,
                "group": row.group,
                **{method: to_json_values(each) for method, each in row.measures.items()},
            }
            for row in self.rows()
        ]


def evaluate(
    scenes: list[Scene],
    interpolator: Interpolator,
    *,
    name: str = "model",
    minterpolate: bool = True,
    save: str | Path | None = None,
    progress: FractionProgress | None = None,
) -> Report:
    """Interpolate and score the frame between of every scene, at its time.

    The baselines are the first frame, the mean of both frames, and `minterpolate`.

    Args:
        scenes: from `find_scenes`.
        interpolator: the interpolator.
        name: its name in the report.
        minterpolate: also measure FFmpeg's motion compensation.
        save: folder for the interpolated frames, `interpolated/SCENE.png`, and `scores.json`.
        progress: called with the fraction done, after each tile too.

    Raises:
        ValueError: there are no scenes.
        DatasetError: the images of a scene differ in size, or are too small to be compared.
        VideoError: an image cannot be read.
    """
    if not scenes:
        raise ValueError("`scenes` is empty: `find_scenes` lists those of a folder")
    save = Path(save) if save else None
    for scene in scenes:
        _check_sizes(scene, minterpolate=minterpolate)
    baselines = [FIRST_FRAME, AVERAGE, *([motion_compensation.NAME] if minterpolate else [])]
    report = Report([name, *baselines])
    pairs = [list(group) for _, group in groupby(scenes, key=_outer_frames)]
    for done, of_pair in enumerate(pairs):
        first = read_view(of_pair[0].first, of_pair[0].view)
        second = read_view(of_pair[0].second, of_pair[0].view)
        times = [scene.t for scene in of_pair]
        pair_progress = scale_progress(progress, done, len(pairs))
        interpolated = interpolator.interpolate_many(first, second, times, progress=pair_progress)
        for scene, image in zip(of_pair, interpolated, strict=True):
            outputs = {name: image, FIRST_FRAME: first, AVERAGE: average(first, second, scene.t)}
            if minterpolate:
                outputs[motion_compensation.NAME] = motion_compensation.compensate(
                    first, second, scene.t
                )
            scores = report.add(scene, outputs)
            if save:
                _save_frame(save, scores, image)
    if save:
        with catch_write_errors(save), atomic_write(save / "scores.json") as unfinished:
            unfinished.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    return report


def _outer_frames(scene: Scene) -> tuple[Path, Path, str]:
    """Return what scenes have in common that are times between the same two frames."""
    return scene.first, scene.second, scene.view


def _check_sizes(scene: Scene, *, minterpolate: bool) -> None:
    """Raise a DatasetError, before any work, if the images of a scene cannot be compared."""
    formats = [read_image_format(path) for path in (scene.first, scene.middle, scene.second)]
    sizes = [f"{each.width}x{each.height}" for each in formats]
    if len(set(sizes)) > 1:
        raise DatasetError(
            f"the images of scene {scene.name} differ in size ({', '.join(sizes)}): scale or "
            f"remove {scene.middle}"
        )
    smallest = motion_compensation.MIN_SIZE if minterpolate else SSIM_WINDOW
    smallest *= 1 if scene.view == WHOLE else 2
    if min(formats[0].width, formats[0].height) < smallest:
        remedy = ", or give --no-minterpolate" if minterpolate else ""
        raise DatasetError(
            f"the images of scene {scene.name} have {sizes[0]} pixels: at least "
            f"{smallest}x{smallest} are needed{remedy}"
        )


def _save_frame(save: Path, scores: SceneScores, frame: Array) -> None:
    with catch_write_errors(save):
        (save / FRAMES_FOLDER).mkdir(parents=True, exist_ok=True)
    write_image(save / FRAMES_FOLDER / f"{file_name(scores)}.png", frame)


def file_name(scores: SceneScores) -> str:
    """Return a file name for a scene, without slashes; the scene "." is named "scene"."""
    name = "_".join(filter(None, (scores.group, scores.scene))).replace("/", "_")
    return name if name.strip(".") else "scene"


def read_view(path: Path, view: str) -> Array:
    """Read the scored region of an image, (h, w, 3) uint8; see `Scene.view`."""
    image = read_image(path)
    height, width = image.shape[:2]
    if view == HALF:
        even = image[: height // 2 * 2, : width // 2 * 2]
        return np.asarray(Image.fromarray(even).reduce(2))
    if view == CENTRE:
        top, left = height // 4, width // 4
        return np.ascontiguousarray(image[top : top + height // 2, left : left + width // 2])
    return image
