"""Score a network on full-size held-out frames, on the device."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.media.suffixes import VIDEOS
from midframe.models.network import Network
from midframe.training.on_device.decoding import read_clip

REACHES = {"near_psnr": 1, "far_psnr": 3}
"""Distance of the middle frame from the outer frames, by score."""
PLACES = (5, 12, 19)
"""Indices of the middle frames in a clip."""


class Triplet(NamedTuple):
    """Three frames, (1, 3, H, W), bytes, and the score that they count towards."""

    first: Tensor
    middle: Tensor
    second: Tensor
    score: str


def read_triplets(folder: Path) -> list[Triplet]:
    """Read triplets from the first shot of every video in a folder."""
    triplets = []
    for path in sorted(each for each in folder.iterdir() if each.suffix.lower() in VIDEOS):
        clips = read_clip(path, 32)
        if not clips:
            continue
        frames = clips[0].frames
        for name, reach in REACHES.items():
            for place in PLACES:
                if place - reach >= 0 and place + reach < len(frames):
                    chosen = [_to_tensor(frames[place + n * reach]) for n in (-1, 0, 1)]
                    triplets.append(Triplet(chosen[0], chosen[1], chosen[2], name))
    return triplets


def _to_tensor(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(frame.copy()).permute(2, 0, 1)[None]


@torch.no_grad()
def validate(
    ema_model: Network, weights: Sequence[Tensor], triplets: Sequence[Triplet], device: torch.device
) -> dict[str, float]:
    """Return PSNR in dB by frame distance, and sharpness: mean Laplacian relative to the truth."""
    for own, given in zip(ema_model.parameters(), weights, strict=True):
        own.copy_(given)
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False  # there are many frame sizes
    scores: dict[str, list[float]] = {name: [] for name in (*REACHES, "sharpness")}
    for *frames, name in triplets:
        first = frames[0].to(device).float() / 255
        middle = frames[1].to(device).float() / 255
        second = frames[2].to(device).float() / 255
        rows, columns = (slice(0, length) for length in first.shape[2:])
        interpolated = ema_model.render_tile(ema_model.prepare(first, second), rows, columns, 0.5)
        interpolated = interpolated.clamp(0, 1).mul(255).round().div(255)
        error = float((interpolated - middle).square().mean())
        scores[name].append(-10 * math.log10(max(error, 1e-10)))
        scores["sharpness"].append(float(_detail(interpolated) / _detail(middle)))
    torch.backends.cudnn.benchmark = benchmark
    return {name: round(sum(values) / len(values), 3) for name, values in scores.items() if values}


def _detail(frame: Tensor) -> Tensor:
    """Return the mean absolute Laplacian."""
    kernel = frame.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    return functional.conv2d(frame, kernel, groups=3).abs().mean()
