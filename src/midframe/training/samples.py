"""From shards to batches: which sample comes when, varied how, all of it decided by the seed."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from midframe.data.augment import FLOW_CONTEXT, augment, centre, measure_guide
from midframe.data.shards import Shards
from midframe.errors import DatasetError
from midframe.training.config import TrainConfig
from midframe.training.losses import Batch

Ticket = tuple[int, int]
"""What the sampler asks for: a sample's number since the training began, and the crop size of its batch."""


def open_shards(dataset: Path, folder: str) -> Shards:
    """Open one part of a data set: train, validation or whole."""
    if not (dataset / folder).is_dir():
        raise DatasetError(f"{dataset} is not a data set: make it with `midframe dataset create VIDEOS {dataset}`")
    return Shards(list((dataset / folder).glob("*.tar")))


class Variations(Dataset[dict[str, Any]]):
    """Samples by ticket. The same ticket gives the same crop in any process, which makes resuming exact."""

    def __init__(self, shards: Shards, config: TrainConfig) -> None:
        self.shards = shards
        self.config = config

    def __getitem__(self, ticket: Ticket) -> dict[str, Any]:
        number, size = ticket
        epoch, place = divmod(number, len(self.shards))
        frames = self.shards.frames(_order(self.config.seed, epoch, len(self.shards))[place])
        rng = np.random.default_rng((self.config.seed, 1, number))
        if self.config.guide == 0:
            return {"frames": augment(frames, rng, size, self.config.max_shift)}
        room = min(frames.shape[1:3]) - 2 * self.config.max_shift  # what the shifts leave
        seen = max(size, min(size + 2 * FLOW_CONTEXT, room))
        crop = augment(frames, rng, seen, self.config.max_shift)
        guide = measure_guide(crop)
        inner = centre(crop.transpose(0, 3, 1, 2), size).transpose(0, 2, 3, 1)
        return {"frames": inner, "flows": centre(guide.flows, size), "trust": centre(guide.trust, size)}


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order of the samples in an epoch; the last batch of one and the first of the next need two."""
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(count).tolist()
    return order


class Tickets(Sampler[list[Ticket]]):
    """Batches of tickets from a step on, without end. Crop sizes are asked for as batches are drawn."""

    def __init__(self, first_step: int, batch: int, crop_size: Callable[[int], int]) -> None:
        self.first_step = first_step
        self.batch = batch
        self.crop_size = crop_size

    def __iter__(self) -> Iterator[list[Ticket]]:
        step = self.first_step
        while True:
            size = self.crop_size(step)
            yield [(number, size) for number in range(step * self.batch, (step + 1) * self.batch)]
            step += 1


def batches(config: TrainConfig, first_step: int, crop_size: Callable[[int], int]) -> Iterator[Batch]:
    """Yield the training batches from a step on, on the CPU."""
    data = Variations(open_shards(Path(config.dataset), "train"), config)
    loader = DataLoader(
        data,
        batch_sampler=Tickets(first_step, config.batch, crop_size),
        num_workers=config.workers,
        collate_fn=_collate,
        multiprocessing_context="spawn" if config.workers else None,
    )
    for stacked in loader:
        yield to_batch(**stacked)


def _collate(samples: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}


def to_batch(frames: Tensor, flows: Tensor | None = None, trust: Tensor | None = None) -> Batch:
    """From (N, F, H, W, 3) uint8 to the outer two frames and the middle one, float in [0, 1]."""
    first, middle, second = (
        frames[:, index].permute(0, 3, 1, 2).float() / 255 for index in (0, frames.shape[1] // 2, frames.shape[1] - 1)
    )
    return Batch(first, middle, second, flows, trust)
