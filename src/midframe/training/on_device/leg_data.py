"""All data of training on one device: clips, photographs and overlays."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from midframe.errors import ConfigError
from midframe.media.suffixes import PHOTOGRAPHS, VIDEOS
from midframe.training.on_device.clips import ClipBank
from midframe.training.on_device.crops import Crops, concatenate
from midframe.training.on_device.decoding import Clip, read_clip
from midframe.training.on_device.leg_config import LegConfig
from midframe.training.on_device.overlays import Overlays
from midframe.training.on_device.photographs import Photographs
from midframe.training.on_device.step import StepShape


class LegData:
    """All clips, photographs and overlays; folders of clips may be added during the leg.

    Args:
        config: settings.
        device: that holds the data.
        any_time: middle frames are drawn at any time, not only halfway.
    """

    def __init__(self, config: LegConfig, device: torch.device, *, any_time: bool) -> None:
        self.config = config
        self.device = device
        self.any_time = any_time
        self.sizes = [
            round(shape.size * factor) for shape in config.shapes for factor in config.reductions
        ]
        self.waiting = [Path(folder) for folder in config.clips]
        self.reading: list[Future[list[Clip]]] = []
        self.pool = ThreadPoolExecutor()
        self.banks: list[ClipBank] = []
        paths = [
            path
            for folder in config.photographs
            for path in sorted(Path(folder).rglob("*"))
            if path.suffix.lower() in PHOTOGRAPHS
        ]
        self.photographs = Photographs(paths, device) if paths else None
        self.overlays = Overlays(384, device, config.seed)

    def add_ready(self, wait: bool = False) -> int:
        """Add the clips of folders that contain a file READY; return the number of new frames.

        Files are read in threads while training runs.

        Args:
            wait: wait until all files are read.
        """
        for folder in [each for each in self.waiting if (each / "READY").exists()]:
            self.waiting.remove(folder)
            self.reading.append(self.pool.submit(read_clips, folder, self.config.max_frames))
        frames = 0
        for done in [each for each in self.reading if wait or each.done()]:
            self.reading.remove(done)
            clips = done.result()
            self.banks.append(ClipBank(clips, self.sizes, self.device))
            frames += sum(len(clip.frames) for clip in clips)
        return frames

    def draw_batch(self, shape: StepShape) -> Crops:
        """Draw a batch for a step."""
        of_clips, of_photographs = shape.batch
        sources = []
        if self.banks:
            sources.append(
                self.overlays.composite(self._clips(of_clips, shape.size), self.config.overlays[0])
            )
        else:
            of_photographs += of_clips
        if of_photographs:
            if self.photographs is None:
                raise ConfigError(
                    "no photographs: name a folder in `photographs`, or draw 0 of them in `shapes`"
                )
            motion = 0.18 if shape.size < 300 else 0.26
            crops = self.photographs.sample(
                of_photographs, shape.size, motion, any_time=self.any_time
            )
            sources.append(self.overlays.composite(crops, self.config.overlays[1]))
        return concatenate(sources)

    def _clips(self, count: int, size: int) -> Crops:
        factors = self.config.reductions
        wanted = round(size * factors[choose([1.0] * len(factors))])
        for each in (wanted, size):
            serving = [bank for bank in self.banks if bank.has_crops(each)]
            if serving:
                bank = serving[choose([math.sqrt(len(bank.flat)) for bank in serving])]
                return bank.sample(count, each, size, any_time=self.any_time)
        raise ConfigError(
            f"no clip is large enough for crops of {size} pixels: use smaller `shapes`"
        )


def choose(weights: Sequence[float]) -> int:
    """Draw an index with probability proportional to its weight, on the CPU."""
    return int(torch.multinomial(torch.tensor(weights), 1))


def read_clips(folder: Path, max_frames: int) -> list[Clip]:
    """Read all videos of a folder in parallel."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: read_clip(path, max_frames), paths)
        return [clip for clips in found for clip in clips]
