"""Scores on whole held-out frames, on the device."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep import FlowSep
from midframe.training.on_device.decoding import read_clip

REACHES = {"near_psnr": 1, "far_psnr": 3}
"""Frames between the middle and either outer one."""
PLACES = (5, 12, 19)
"""Which middle frames of a clip are interpolated."""


class Triplet(NamedTuple):
    """Three frames, (1, 3, H, W), bytes, and which score they count in."""

    first: Tensor
    middle: Tensor
    second: Tensor
    score: str


def read_triplets(folder: Path) -> list[Triplet]:
    """Read triplets from the first shot of every video in a folder."""
    triplets = []
    for path in sorted(
        each for each in folder.iterdir() if each.suffix in (".mp4", ".mov", ".webm")
    ):
        clips = read_clip(path, 32)
        if not clips:
            continue
        frames = clips[0].frames
        for name, reach in REACHES.items():
            for place in PLACES:
                if place - reach >= 0 and place + reach < len(frames):
                    chosen = (frames[n] for n in (place - reach, place, place + reach))
                    triplets.append(Triplet(*(_tensor(frame) for frame in chosen), name))
    return triplets


def _tensor(frame: np.ndarray) -> Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(frame.copy()).permute(2, 0, 1)[None]


@torch.no_grad()
def validate(
    judge: FlowSep, weights: Sequence[Tensor], triplets: Sequence[Triplet], device: torch.device
) -> dict[str, float]:
    """PSNR in dB by distance, and sharpness: the mean Laplacian over that of the truth."""
    for own, given in zip(judge.parameters(), weights, strict=True):
        own.copy_(given)
    chosen = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False  # frames have many sizes
    scores: dict[str, list[float]] = {name: [] for name in (*REACHES, "sharpness")}
    for *frames, name in triplets:
        first, middle, second = (frame.to(device).float() / 255 for frame in frames)
        interpolated = judge(first, second, 0.5).clamp(0, 1).mul(255).round().div(255)
        error = float((interpolated - middle).square().mean())
        scores[name].append(-10 * math.log10(max(error, 1e-10)))
        scores["sharpness"].append(float(_detail(interpolated) / _detail(middle)))
    torch.backends.cudnn.benchmark = chosen
    return {name: round(sum(values) / len(values), 3) for name, values in scores.items() if values}


def _detail(frame: Tensor) -> Tensor:
    """Mean absolute Laplacian."""
    kernel = frame.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    return functional.conv2d(frame, kernel, groups=3).abs().mean()
