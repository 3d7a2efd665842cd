"""Score a network on held-out samples during training."""

from collections.abc import Callable
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor

from midframe.data.aliases import split_folder
from midframe.data.shards import Shards, shard_files
from midframe.metrics import psnr
from midframe.models.network import Network
from midframe.training.config import TrainConfig
from midframe.training.objectives import Batch, find_objective
from midframe.training.samples import compute_t, open_shards, to_batch

MAX_VALIDATION_PSNR = 60.0
"""PSNR is capped here in means, in dB, so that identical frames do not make a mean infinite."""

Samples = tuple[Shards, list[int]] | None
"""Shards and the indices of the samples to score; None if there are none."""
Triplet = tuple[int, int, int]
"""Indices of the first, middle and second frame of a sample."""


@torch.no_grad()
def validate(model: Network, config: TrainConfig, fabric: Fabric) -> dict[str, float]:
    """Score a network on held-out patches and, if the dataset has any, full-size frames.

    The middle frame is interpolated at every frame distance that the samples allow. A network that
    supports any time is also scored on patches at t = 1/4.

    Returns:
        Mean PSNR in dB: `patch_psnr`, `frame_psnr` and, for any-time networks, `quarter_psnr`,
        without those that have no samples.
    """
    predict = find_objective(model)(model.eval()).predict
    patches, frames = _choose_splits(config)
    scores = {
        "patch_psnr": _score(predict, patches, _middle_triplet, fabric),
        "frame_psnr": _score(predict, frames, _middle_triplet, fabric),
    }
    if model.any_time:
        scores["quarter_psnr"] = _score(predict, patches, _quarter_triplet, fabric)
    return {name: score for name, score in scores.items() if score is not None}


def evaluate_average(config: TrainConfig, fabric: Fabric) -> dict[str, float]:
    """Score the average of both frames, a baseline, on the samples of `evaluate`.

    Returns:
        Mean PSNR in dB: `average_patch_psnr` and `average_frame_psnr`, without those that have no
        samples.
    """

    def average(batch: Batch) -> tuple[Tensor, Tensor]:
        return (batch.first + batch.second) / 2, batch.middle

    names = ("average_patch_psnr", "average_frame_psnr")
    scores = [_score(average, each, _middle_triplet, fabric) for each in _choose_splits(config)]
    return {name: score for name, score in zip(names, scores, strict=True) if score is not None}


def _choose_splits(config: TrainConfig) -> tuple[Samples, Samples]:
    """Return the held-out patches and the full-size frames to score."""
    dataset = Path(config.dataset)
    return (
        _choose_samples(dataset, "validation", config.validation_patches),
        _choose_samples(dataset, "validation_frames", config.validation_frames),
    )


def _choose_samples(dataset: Path, split: str, maximum: int) -> Samples:
    if not shard_files(split_folder(dataset, split)):
        return None
    shards = open_shards(dataset, split)
    count = min(maximum, len(shards))
    return shards, torch.linspace(0, len(shards) - 1, count).long().tolist()


def _middle_triplet(count: int, index: int) -> Triplet:
    """Return the middle frame of a sample of `count` frames between two outer ones; their distance
    alternates with the index of the sample."""
    distance = index % (count // 2) + 1
    return count // 2 - distance, count // 2, count // 2 + distance


def _quarter_triplet(count: int, _: int) -> Triplet | None:
    """Return a frame at t = 1/4 between two that are four frames apart, if there are enough."""
    start = (count - 5) // 2
    return (start, start + 1, start + 4) if count >= 5 else None


def _score(
    predict: Callable[[Batch], tuple[Tensor, Tensor]],
    samples: Samples,
    choose: Callable[[int, int], Triplet | None],
    fabric: Fabric,
) -> float | None:
    """Return the mean PSNR of the triplets that `choose` takes from the samples; None if none."""
    if samples is None:
        return None
    shards, indices = samples
    values = []
    for index in indices:
        chosen = choose(shards.frame_count(index), index)
        if chosen is None:
            continue
        frames = torch.from_numpy(shards.read_frames(index, chosen))[None]
        batch = fabric.to_device(to_batch(frames, torch.tensor([float(compute_t(chosen))])))
        with fabric.autocast():
            values.append(min(MAX_VALIDATION_PSNR, psnr(*predict(batch))))
    return sum(values) / len(values) if values else None
