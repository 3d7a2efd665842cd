"""Scoring a network on what was held out, while it trains."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.fabric import Fabric

from midframe.data.shards import Shards, shard_files
from midframe.metrics import psnr
from midframe.models.network import Network
from midframe.training.config import TrainConfig
from midframe.training.objectives import OBJECTIVES, Objective
from midframe.training.samples import open_shards, time_of, to_batch

HIGHEST_PSNR = 60.0
"""What a sample that is made without any error counts in a mean, in dB."""


@torch.no_grad()
def evaluate(model: Network, config: TrainConfig, fabric: Fabric) -> dict[str, float]:
    """Score on the held-out clips: patches, and whole frames where the data set has some; mean PSNR in dB.

    The middle of near and of far frames is made, as many as the samples hold; a network that makes any time is also
    scored at a quarter of the way (`quarter_psnr`), on patches.
    """
    objective = OBJECTIVES[type(model.eval())](model)
    dataset = Path(config.dataset)
    patches, frames = (
        _chosen(dataset, folder, most)
        for folder, most in (
            ("validation", config.validation_patches),
            ("whole", config.validation_frames),
        )
    )
    scores = {
        "patch_psnr": _score(objective, patches, _middle, fabric),
        "frame_psnr": _score(objective, frames, _middle, fabric),
    }
    quarter = _score(objective, patches, _quarter, fabric) if model.any_time else math.nan
    return scores if math.isnan(quarter) else {**scores, "quarter_psnr": quarter}


Samples = tuple[Shards, list[int]] | None
"""Shards and which of their samples are looked at; None if there are none."""
Triple = tuple[int, int, int]


def _chosen(dataset: Path, folder: str, most: int) -> Samples:
    if not shard_files(dataset / folder):
        return None
    shards = open_shards(dataset, folder)
    return shards, torch.linspace(0, len(shards) - 1, min(most, len(shards))).long().tolist()


def _middle(count: int, index: int) -> Triple:
    reach = index % (count // 2) + 1
    return count // 2 - reach, count // 2, count // 2 + reach


def _quarter(count: int, _: int) -> Triple | None:
    start = (count - 5) // 2
    return (start, start + 1, start + 4) if count >= 5 else None


def _score(
    objective: Objective,
    samples: Samples,
    choose: Callable[[int, int], Triple | None],
    fabric: Fabric,
) -> float:
    values = []
    for index in samples[1] if samples else []:
        assert samples
        chosen = choose(samples[0].count(index), index)
        if chosen is None:
            continue
        frames = torch.from_numpy(samples[0].frames(index, chosen))[None]
        batch = fabric.to_device(to_batch(frames, torch.tensor([float(time_of(chosen))])))
        with fabric.autocast():
            values.append(min(HIGHEST_PSNR, psnr(*objective.predict(batch))))
    return sum(values) / len(values) if values else math.nan
