"""Scoring a network on scenes with truth, beside simpler ways, all measured in the same run."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.data.layouts import CENTRE, HALF, Scene
from midframe.evaluation import motion_compensation
from midframe.evaluation.figures import writing
from midframe.evaluation.measures import COLUMNS, Measures, average, defined, finite, measure
from midframe.images import Array, read_image, write_image
from midframe.interpolator import Interpolator, Progress, scaled
from midframe.outputs import whole_file

MADE = "made"
"""The folder of the frames that the network made."""
SHOWN = 12
"""So many of the network's worst scenes are kept to be looked at."""


@dataclass(frozen=True)
class SceneScores:
    """How near each method came to the truth of one scene."""

    scene: str
    group: str
    measures: dict[str, Measures]
    """By method."""


@dataclass
class Report:
    """The scores of all scenes."""

    methods: list[str]
    """The network first."""
    scenes: list[SceneScores] = field(default_factory=list)
    shown: list[tuple[SceneScores, dict[str, Array]]] = field(default_factory=list)
    """The network's worst scenes, the worst first, with the pictures of each method, and "truth"."""

    def of(self, method: str, column: str, group: str | None = None) -> list[float]:
        """One measure of one method in every scene, or in those of a group."""
        chosen = (scene for scene in self.scenes if group in (None, scene.group))
        return [getattr(scene.measures[method], column) for scene in chosen]

    def rows(self) -> list[SceneScores]:
        """Every scene, the mean of each group where there are several, the mean and the median of all."""
        groups = sorted({scene.group for scene in self.scenes})
        means = [self._summary(f"mean, {group}", np.mean, group) for group in groups if len(groups) > 1]
        return [*self.scenes, *means, self._summary("mean", np.mean), self._summary("median", np.median)]

    def _summary(self, name: str, reduce: Callable[[list[float]], Any], group: str | None = None) -> SceneScores:
        measures = {
            method: Measures(*(float(reduce(defined(self.of(method, column, group)))) for column in COLUMNS))
            for method in self.methods
        }
        return SceneScores(name, "", measures)

    def as_json(self) -> list[dict[str, Any]]:
        """The rows as numbers and texts; infinity and NaN become null."""
        return [
            {"scene": row.scene, "group": row.group, **{method: finite(each) for method, each in row.measures.items()}}
            for row in self.rows()
        ]


def evaluate(
    scenes: list[Scene],
    tool: Interpolator,
    *,
    name: str = "model",
    minterpolate: bool = True,
    save: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make the middle frame of every scene and score it, beside a repeated frame, the average and `minterpolate`.

    Args:
        scenes: from `find_scenes`.
        tool: what makes the frames.
        name: what it is called in the report.
        minterpolate: measure FFmpeg's motion compensation too.
        save: a folder for the made frames, `made/SCENE.png`, and `scores.json`; none if None.
        progress: called with the share of the work that is done, within a scene too where frames are made in tiles.
    """
    rivals = ["repeat", "average", *([motion_compensation.NAME] if minterpolate else [])]
    report = Report([name, *rivals])
    for done, scene in enumerate(scenes):
        first, truth, second = (_read(path, scene.view) for path in (scene.first, scene.middle, scene.second))
        made = {name: tool.interpolate(first, second, progress=scaled(progress, done, len(scenes)))}
        made |= {"repeat": first, "average": average(first, second)}
        if minterpolate:
            made[motion_compensation.NAME] = motion_compensation.compensated(first, second)
        scores = SceneScores(scene.name, scene.group, {method: measure(truth, each) for method, each in made.items()})
        report.scenes.append(scores)
        report.shown.append((scores, {"truth": truth, **made}))
        report.shown.sort(key=lambda each: each[0].measures[name].psnr)
        del report.shown[SHOWN:]
        if save:
            _save_frame(save, scores, made[name])
    if save:
        with writing(save), whole_file(save / "scores.json") as unfinished:
            unfinished.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    return report


def _save_frame(save: Path, scores: SceneScores, frame: Array) -> None:
    with writing(save):
        (save / MADE).mkdir(parents=True, exist_ok=True)
    write_image(save / MADE / f"{file_name(scores)}.png", frame)


def file_name(scores: SceneScores) -> str:
    """A scene's name without slashes; a data set that is one scene calls it "."."""
    name = "_".join(filter(None, (scores.group, scores.scene))).replace("/", "_")
    return name if name.strip(".") else "scene"


def _read(path: Path, view: str) -> Array:
    image = read_image(path)
    height, width = image.shape[:2]
    if view == HALF:
        return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    if view == CENTRE:
        top, left = height // 4, width // 4
        return np.ascontiguousarray(image[top : top + height // 2, left : left + width // 2])
    return image
