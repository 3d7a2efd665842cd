"""Scoring a network on scenes with truth, by the protocol of the field.

The made frame is clipped, multiplied by 255 and rounded to 8 bit before it is compared; PSNR and SSIM are
scikit-image's on RGB with its defaults; the mean is over scenes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from midframe.evaluation.benchmarks import Scene
from midframe.images import Array, read_image, write_image
from midframe.interpolator import Interpolator, Progress, scaled


@dataclass(frozen=True)
class Score:
    """How near one made frame is to the truth."""

    scene: str
    psnr: float
    """In dB."""
    ssim: float
    average_psnr: float
    """Of the mean of both frames, for comparison, in dB."""


def evaluate(
    scenes: list[Scene],
    tool: Interpolator,
    *,
    save: Path | None = None,
    progress: Progress | None = None,
) -> list[Score]:
    """Make the middle frame of every scene and score it.

    Args:
        scenes: from `find_scenes`.
        tool: what makes the frames.
        save: a folder for the made frames, `SCENE.png`; none if None.
        progress: called with the share of the work that is done, within a scene too where frames are made in tiles.
    """
    scores = []
    for done, scene in enumerate(scenes):
        first, second = read_image(scene.first), read_image(scene.second)
        made = tool.interpolate(first, second, progress=scaled(progress, done, len(scenes)))
        score = score_frame(scene.name, made, average(first, second), read_image(scene.middle))
        scores.append(score)
        if save:
            save.mkdir(parents=True, exist_ok=True)
            write_image(save / f"{scene.name.replace('/', '_')}.png", made)
    return scores


def score_frame(name: str, made: Array, averaged: Array, truth: Array) -> Score:
    """Compare 8-bit frames (H, W, 3) with the truth."""
    ssim = structural_similarity(truth, made, data_range=255, channel_axis=2)
    return Score(name, _psnr(truth, made), float(ssim), _psnr(truth, averaged))


def _psnr(truth: Array, made: Array) -> float:
    return float(peak_signal_noise_ratio(truth, made, data_range=255))


def average(first: Array, second: Array) -> Array:
    """The mean of two 8-bit frames, rounded."""
    return np.rint((first.astype(np.float32) + second) / 2).astype(np.uint8)


def mean_score(scores: list[Score]) -> Score:
    """The mean over scenes."""
    columns = ([score.psnr for score in scores], [score.ssim for score in scores], [s.average_psnr for s in scores])
    return Score("mean", *(float(np.mean(column)) for column in columns))
