"""From shards to batches: which sample comes when, varied how, all of it decided by the seed."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from midframe.data.augment import FLOW_CONTEXT, augment, centre, measure_guide
from midframe.data.shards import Shards, shard_files
from midframe.errors import ConfigError, DatasetError
from midframe.training.config import TrainConfig
from midframe.training.objectives import Batch

Ticket = tuple[int, int, int]
"""What the sampler asks for: a sample's number since the training began; of its batch, the crop size and how many times
smaller the frames are read."""


def open_shards(dataset: Path, folder: str) -> Shards:
    """Open one part of a data set: train, made, validation or whole."""
    if not (dataset / folder).is_dir():
        raise DatasetError(
            f"{dataset} is not a data set: make it with `midframe dataset create VIDEOS {dataset}`"
        )
    return Shards(shard_files(dataset / folder))


def check_data(config: TrainConfig) -> None:
    """Check that a data set can be trained on with these settings, before anything is written.

    Raises:
        DatasetError: there is no such data set, or it has no samples.
        ConfigError: the crops are larger than its samples.
    """
    variations, largest = Variations(config), max(size for _, size in config.crops)
    for shards in filter(None, (variations.filmed, variations.made)):
        first_of_each = {
            sample.path: index for index, sample in reversed(list(enumerate(shards.samples)))
        }
        for path, index in first_of_each.items():
            height, width = shards.frames(index, [0]).shape[1:3]
            if min(height, width) < largest:
                raise ConfigError(
                    f"crops are up to {largest} pixels, and the samples of {path} are {width}x{height}: give smaller "
                    f"crops (--set crops=[[0.0,128]]), or create the data set with --size {largest + 32}"
                )


class Variations(Dataset[dict[str, Any]]):
    """Samples by ticket. The same ticket gives the same crop in any process, which makes resuming exact."""

    def __init__(self, config: TrainConfig, any_time: bool = False) -> None:
        self.config = config
        self.any_time = any_time
        dataset = Path(config.dataset)
        has_made = config.synthetic_fraction > 0 and bool(shard_files(dataset / "made"))
        self.filmed = open_shards(dataset, "train")
        self.made = open_shards(dataset, "made") if has_made else None

    def __getitem__(self, ticket: Ticket) -> dict[str, Any]:
        number, size, scale = ticket
        rng = np.random.default_rng((self.config.seed, 1, number))
        shards = (
            self.made
            if self.made and rng.random() < self.config.synthetic_fraction
            else self.filmed
        )
        epoch, place = divmod(number, len(shards))
        index = _order(self.config.seed, epoch, len(shards))[place]
        chosen = choose_frames(shards.count(index), rng, self.any_time)
        if rng.random() < 0.5:
            chosen = chosen[::-1]
        time = time_of(chosen)
        frames = shards.frames(index, chosen)
        shift = self.config.max_shift
        chance = {
            "shuffle_channels": self.config.shuffle_channels,
            "fades": self.config.fades,
            "time": time,
        }
        facts = {"time": np.float32(time), "scale": np.int64(scale)}
        if self.config.flow_supervision == 0:
            return {"frames": augment(frames, rng, size, shift, **chance), **facts}  # type: ignore[arg-type]
        room = min(frames.shape[1:3]) - 2 * shift  # what the shifts leave
        seen = max(size, min(size + 2 * FLOW_CONTEXT, room))
        crop = augment(frames, rng, seen, shift, **chance)  # type: ignore[arg-type]
        guide = measure_guide(crop)
        inner = centre(crop.transpose(0, 3, 1, 2), size).transpose(0, 2, 3, 1)
        flows, trust = centre(guide.flows, size), centre(guide.trust, size)
        return {"frames": inner, "flows": flows, "trust": trust, **facts}


def choose_frames(count: int, rng: np.random.Generator, any_time: bool) -> tuple[int, int, int]:
    """Choose first, between and second of a sample's frames, near ones and far ones.

    The one between lies in the middle, or, half the time where any time is wanted, anywhere.
    """
    middle = count // 2
    if not any_time or rng.random() < 0.5:
        reach = int(rng.integers(1, middle + 1))
        return middle - reach, middle, middle + reach
    reach = int(rng.integers(2, count))
    first = int(rng.integers(count - reach))
    return first, int(rng.integers(first + 1, first + reach)), first + reach


def time_of(chosen: tuple[int, int, int]) -> Fraction:
    """When the frame between is shown, from 0 (first) to 1 (second)."""
    first, between, second = chosen
    return Fraction(between - first, second - first)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order of the samples in an epoch; the last batch of one and the first of the next need two of each part."""
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(count).tolist()
    return order


class Tickets(Sampler[list[Ticket]]):
    """Batches of tickets from a step on, without end. Crop sizes are asked for as batches are drawn.

    Of several devices, each takes every so-manieth sample of a batch.
    """

    def __init__(
        self,
        config: TrainConfig,
        first_step: int,
        crop_size: Callable[[int], int],
        rank: int = 0,
        devices: int = 1,
    ) -> None:
        self.config = config
        self.first_step = first_step
        self.crop_size = crop_size
        self.rank = rank
        self.devices = devices

    def __iter__(self) -> Iterator[list[Ticket]]:
        step = self.first_step
        while True:
            size, batch = self.crop_size(step), self.config.batch
            scale = (
                2
                if np.random.default_rng((self.config.seed, 2, step)).random()
                < self.config.half_res_probability
                else 1
            )
            numbers = range(step * batch + self.rank, (step + 1) * batch, self.devices)
            yield [(number, size, scale) for number in numbers]
            step += 1


def batches(
    config: TrainConfig,
    first_step: int,
    crop_size: Callable[[int], int],
    *,
    any_time: bool = False,
    rank: int = 0,
    devices: int = 1,
) -> Iterator[Batch]:
    """Yield the training batches of one device from a step on, on the CPU."""
    loader = DataLoader(
        Variations(config, any_time),
        batch_sampler=Tickets(config, first_step, crop_size, rank, devices),
        num_workers=config.workers,
        collate_fn=_collate,
        multiprocessing_context="spawn" if config.workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    for stacked in loader:
        yield to_batch(**stacked)


def _collate(samples: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
        for name in samples[0]
    }


def to_batch(
    frames: Tensor,
    time: Tensor,
    flows: Tensor | None = None,
    trust: Tensor | None = None,
    scale: Tensor | None = None,
) -> Batch:
    """From (N, 3, H, W, 3) uint8 to three frames, float in [0, 1]; the scale, (N,), is one for all."""
    first, between, second = (
        frames[:, index].permute(0, 3, 1, 2).float() / 255 for index in range(3)
    )
    return Batch(
        first, between, second, time, flows, trust, int(scale[0]) if scale is not None else 1
    )
