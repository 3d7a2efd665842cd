"""Scoring a network on what was held out, while it trains."""

import math
from pathlib import Path

import torch
from lightning.fabric import Fabric

from midframe.metrics import psnr
from midframe.models.network import Network
from midframe.training.config import TrainConfig
from midframe.training.objectives import OBJECTIVES
from midframe.training.samples import open_shards, to_batch

HIGHEST_PSNR = 60.0
"""What a sample that is made without any error counts in a mean, in dB."""


@torch.no_grad()
def evaluate(model: Network, config: TrainConfig, fabric: Fabric) -> dict[str, float]:
    """Score on the held-out clips: patches, and whole frames where the data set has some; mean PSNR in dB."""
    objective = OBJECTIVES[type(model.eval())](model)
    scores = {"patch_psnr": math.nan, "frame_psnr": math.nan}
    folders = (
        ("patch_psnr", "validation", config.validation_patches),
        ("frame_psnr", "whole", config.validation_frames),
    )
    for name, folder, most in folders:
        if not list((Path(config.dataset) / folder).glob("*.tar")):
            continue
        shards = open_shards(Path(config.dataset), folder)
        chosen = torch.linspace(0, len(shards) - 1, min(most, len(shards))).long().tolist()
        values = []
        for index in chosen:
            batch = fabric.to_device(to_batch(torch.from_numpy(shards.frames(index))[None]))
            with fabric.autocast():
                values.append(min(HIGHEST_PSNR, psnr(*objective.predict(batch))))
        scores[name] = sum(values) / len(values)
    return scores
