"""What a training step reads: three frames and the time of the one between."""

from typing import NamedTuple

import torch
from torch import Tensor


class Crops(NamedTuple):
    """Crops of three frames, (N, 3, S, S) in [0, 1], and when the middle one is shown."""

    first: Tensor
    middle: Tensor
    second: Tensor
    t: Tensor
    """(N,), from 0 (first) to 1 (second)."""


def in_turn(sources: list[Crops]) -> Crops:
    """Join crops of several sources to one batch."""
    return Crops(*(torch.cat(tensors) for tensors in zip(*sources, strict=True)))


def column(values: Tensor) -> Tensor:
    """Values (N,) as (N, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def signed(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Random numbers between -1 and 1."""
    return torch.rand(shape, device=device) * 2 - 1
