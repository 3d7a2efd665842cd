"""Load batches from shards; order, frames and augmentation are determined by the seed."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from midframe.data.aliases import split_folder
from midframe.data.augment import FLOW_CONTEXT, augment, centre_crop, estimate_flow_labels
from midframe.data.shards import Shards, shard_files
from midframe.errors import ConfigError, DatasetError
from midframe.training.config import TrainConfig
from midframe.training.interruption import leave_signals_to_parent
from midframe.training.objectives import Batch

SampleRequest = tuple[int, int, int]
"""Number of the sample since the start of the run; crop size and scale of its batch, where a scale
of 2 means processing at half resolution."""


def open_shards(dataset: Path, split: str) -> Shards:
    """Open one split of a dataset: train, synthetic, validation or validation_frames.

    Raises:
        DatasetError: there is no such split, or it has no samples.
    """
    folder = split_folder(dataset, split)
    if not folder.is_dir():
        raise DatasetError(
            f"{dataset} is not a dataset: run `midframe dataset create VIDEOS {dataset}` first"
        )
    return Shards(shard_files(folder))


def check_data(config: TrainConfig) -> None:
    """Check that the dataset fits the settings, before anything is written.

    Raises:
        DatasetError: there is no such dataset, or it has no samples.
        ConfigError: the crops are larger than the samples.
    """
    samples = TrainingSamples(config)
    largest = max(size for _, size in config.crops)
    for shards in filter(None, (samples.footage, samples.synthetic)):
        numbered = reversed(list(enumerate(shards.samples)))
        first_of_each = {sample.path: index for index, sample in numbered}
        for path, index in first_of_each.items():
            height, width = shards.read_frames(index, [0]).shape[1:3]
            if min(height, width) < largest:
                smaller = max(1, min(height, width) // 32) * 32
                raise ConfigError(
                    f"crops are up to {largest} pixels, and the samples of {path} are "
                    f"{width}x{height}: use smaller crops (--set crops=[[0.0,{smaller}]]), or "
                    f"create the dataset with --size {largest + 32}"
                )


class TrainingSamples(Dataset[dict[str, Any]]):
    """Load and augment samples; the same request gives the same crop in every process."""

    def __init__(self, config: TrainConfig, any_time: bool = False) -> None:
        self.config = config
        self.any_time = any_time
        dataset = Path(config.dataset)
        has_synthetic = bool(shard_files(split_folder(dataset, "synthetic")))
        use_synthetic = config.synthetic_fraction > 0 and has_synthetic
        self.footage = open_shards(dataset, "train")
        self.synthetic = open_shards(dataset, "synthetic") if use_synthetic else None

    def __getitem__(self, request: SampleRequest) -> dict[str, Any]:
        number, size, scale = request
        rng = np.random.default_rng((self.config.seed, 1, number))
        use_synthetic = self.synthetic and rng.random() < self.config.synthetic_fraction
        shards = self.synthetic if self.synthetic and use_synthetic else self.footage
        epoch, position = divmod(number, len(shards))
        index = _shuffle(self.config.seed, epoch, len(shards))[position]
        chosen = choose_frames(shards.frame_count(index), rng, self.any_time)
        if rng.random() < 0.5:
            chosen = chosen[::-1]
        t = compute_t(chosen)
        frames = shards.read_frames(index, chosen)
        scalars = {"t": np.float32(t), "scale": np.int64(scale)}
        if self.config.flow_supervision == 0:
            return {"frames": self._augment(frames, rng, size, t), **scalars}
        available = min(frames.shape[1:3]) - 2 * self.config.max_shift
        with_context = max(size, min(size + 2 * FLOW_CONTEXT, available))
        crop = self._augment(frames, rng, with_context, t)
        labels = estimate_flow_labels(crop)
        inner = centre_crop(crop.transpose(0, 3, 1, 2), size).transpose(0, 2, 3, 1)
        return {
            "frames": inner,
            "flows": centre_crop(labels.flows, size),
            "confidence": centre_crop(labels.confidence, size),
            **scalars,
        }

    def _augment(self, frames: Any, rng: np.random.Generator, size: int, t: Fraction) -> Any:
        config = self.config
        return augment(
            frames,
            rng,
            size,
            config.max_shift,
            shuffle_channels=config.shuffle_channels,
            fades=config.fades,
            time=t,
        )


def choose_frames(count: int, rng: np.random.Generator, any_time: bool) -> tuple[int, int, int]:
    """Choose the first, middle and second frame of a sample, at a random distance.

    The middle frame lies halfway; if `any_time`, in half of the samples it lies anywhere between.
    """
    middle = count // 2
    if not any_time or rng.random() < 0.5:
        reach = int(rng.integers(1, middle + 1))
        return middle - reach, middle, middle + reach
    reach = int(rng.integers(2, count))
    first = int(rng.integers(count - reach))
    return first, int(rng.integers(first + 1, first + reach)), first + reach


def compute_t(chosen: tuple[int, int, int]) -> Fraction:
    """Return the time t of the middle frame, from 0 (first) to 1 (second)."""
    first, middle, second = chosen
    return Fraction(middle - first, second - first)


@lru_cache(maxsize=4)  # a batch can span two epochs, of footage and of synthetic samples
def _shuffle(seed: int, epoch: int, count: int) -> list[int]:
    """Return the order of the samples in an epoch."""
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(count).tolist()
    return order


class RequestSampler(Sampler[list[SampleRequest]]):
    """Yield batches of sample requests from a step on, without end.

    The crop size is asked for when a batch is drawn. With several devices, each takes every n-th
    sample of a batch, starting at its rank.
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

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        step = self.first_step
        while True:
            size, batch = self.crop_size(step), self.config.batch
            draw = np.random.default_rng((self.config.seed, 2, step)).random()
            scale = 2 if draw < self.config.half_res_probability else 1
            numbers = range(step * batch + self.rank, (step + 1) * batch, self.devices)
            yield [(number, size, scale) for number in numbers]
            step += 1


def load_batches(
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
        TrainingSamples(config, any_time),
        batch_sampler=RequestSampler(config, first_step, crop_size, rank, devices),
        num_workers=config.workers,
        collate_fn=_collate,
        worker_init_fn=leave_signals_to_parent,
        multiprocessing_context="spawn" if config.workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    for stacked in loader:
        yield to_batch(**stacked)


def _collate(samples: list[dict[str, Any]]) -> dict[str, Tensor]:
    stacked = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    return {name: torch.from_numpy(values) for name, values in stacked.items()}


def to_batch(
    frames: Tensor,
    t: Tensor,
    flows: Tensor | None = None,
    confidence: Tensor | None = None,
    scale: Tensor | None = None,
) -> Batch:
    """Convert frames (N, 3, H, W, 3) uint8 to a batch; `scale`, (N,), has one value for all."""
    float_frames = [frames[:, n].permute(0, 3, 1, 2).float() / 255 for n in range(3)]
    factor = int(scale[0]) if scale is not None else 1
    return Batch(float_frames[0], float_frames[1], float_frames[2], t, flows, confidence, factor)
