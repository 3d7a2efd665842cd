"""The input of a training step on the device: crops of three frames, and t."""

from typing import NamedTuple

import torch
from torch import Tensor


class Crops(NamedTuple):
    """Crops of triplets: three frames, (N, 3, S, S) in [0, 1], and t."""

    first: Tensor
    middle: Tensor
    second: Tensor
    t: Tensor
    """Time of the middle frame, (N,), from 0 (first) to 1 (second)."""


def concatenate(sources: list[Crops]) -> Crops:
    """Concatenate crops of several sources to one batch."""
    return Crops(*(torch.cat(tensors) for tensors in zip(*sources, strict=True)))


def to_nchw(values: Tensor) -> Tensor:
    """Reshape values (N,) to (N, 1, 1, 1), to broadcast over images."""
    return values.view(-1, 1, 1, 1)


def rand_signed(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return uniform random numbers in [-1, 1)."""
    return torch.rand(shape, device=device) * 2 - 1
