"""Store clips in device memory and draw random crops of three of their frames."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from midframe.training.on_device.crops import Crops, to_nchw
from midframe.training.on_device.cutting import CropPositions, cut_crops
from midframe.training.on_device.decoding import WINDOW, Clip

CELL = 16
"""Height and width in pixels of the cells of the motion maps."""
CANDIDATES = 4
"""Candidate positions per crop."""
MOTION_SCALE, MIN_MOTION = 6.0, 0.04
"""A candidate with motion m, in grey levels, has the weight m / (m + MOTION_SCALE) + MIN_MOTION."""
REVERSE_PROBABILITY, SHIFT_PROBABILITY, MIDDLE_PROBABILITY = 0.5, 0.5, 0.5
"""Probabilities of reversed time, of opposite shifts of the outer frames, and of t = 1/2."""
SHUFFLE_PROBABILITY, FADE_PROBABILITY, MAX_FADE = 0.25, 0.03, 0.8
RECOLOUR_PROBABILITY = 0.5
MAX_SHIFT = 12
"""Maximum opposite shift of the outer frames, in pixels of the downscaled crops."""


class _Windows(NamedTuple):
    """Windows (short runs of frames) of the clips that are large enough for crops of one size."""

    table: Tensor
    """(M, 5): clip, first frame, offset of its motion map, height and width of the map."""
    weight: Tensor
    """Sampling weights, (M,)."""
    maps: Tensor
    """Mean motion of crops, in grey levels; the maps of all clips, concatenated."""


class ClipBank:
    """Clips stored as bytes on a device.

    Args:
        clips: as `read_clip` returns them.
        sizes: crop sizes that `sample` will be called with, in pixels.
        device: the device.
    """

    def __init__(self, clips: Sequence[Clip], sizes: Sequence[int], device: torch.device) -> None:
        self.device = device
        self.shapes = [clip.frames.shape[:3] for clip in clips]
        starts, total = [], 0
        for clip in clips:
            starts.append(total)
            total += clip.frames.size
        self.flat = torch.empty(total, dtype=torch.uint8, device=device)
        for start, clip in zip(starts, clips, strict=True):
            data = torch.from_numpy(clip.frames).flatten()
            self.flat[start : start + len(data)].copy_(data)
        self.start = torch.tensor(starts, device=device)
        self.height = torch.tensor([shape[1] for shape in self.shapes], device=device)
        self.width = torch.tensor([shape[2] for shape in self.shapes], device=device)
        self.cells = [self._cells(number) for number in range(len(clips))]
        self.windows = {size: self._windows(clips, size) for size in sorted(set(sizes))}

    def has_crops(self, size: int) -> bool:
        """Return whether any clip is large enough for crops of a size."""
        return self.windows.get(size) is not None

    def _windows(self, clips: Sequence[Clip], size: int) -> _Windows | None:
        rows = []
        weights = []
        maps = []
        offset = 0
        for number, clip in enumerate(clips):
            if min(self.shapes[number][1:]) < size or not clip.starts:
                continue
            motion = functional.avg_pool2d(self.cells[number][:, None], size // CELL, 1)[:, 0]
            for start in clip.starts:
                area = motion.shape[1] * motion.shape[2]
                rows.append((number, start, offset + (start + 2) * area, *motion.shape[1:]))
                weights.append(1 / math.sqrt(len(clip.starts)))
            maps.append(motion.flatten())
            offset += motion.numel()
        if not rows:
            return None
        return _Windows(
            torch.tensor(rows, device=self.device),
            torch.tensor(weights, device=self.device),
            torch.cat(maps),
        )

    def _cells(self, number: int) -> Tensor:
        """Return the mean difference of frames n and n + 2 per cell, (T - 2, h, w), in grey
        levels."""
        count, height, width = self.shapes[number]
        begin = int(self.start[number])
        clip = self.flat[begin : begin + count * height * width * 3].view(count, height, width, 3)
        maps = []
        for frame in range(count - 2):
            difference = (clip[frame].float() - clip[frame + 2].float()).abs().mean(-1)
            maps.append(functional.avg_pool2d(difference[None, None], CELL)[0, 0])
        return torch.stack(maps)

    def sample(
        self, count: int, size: int, target: int | None = None, *, any_time: bool = True
    ) -> Crops:
        """Draw random crops, augmented as in `midframe.data.augment`, preferably with motion.

        Args:
            count: N.
            size: size of the crops in pixels of the clips, one of `sizes`.
            target: S, the size that the crops are downscaled to; None for no downscaling.
            any_time: in some samples, t is not 1/2.
        """
        target = target or size
        clip, frame, y, x = self._choose_positions(count, size)
        order, t = self._order(count, MIDDLE_PROBABILITY if any_time else 1.0)
        height, width = self.height[clip], self.width[clip]
        margin = torch.stack((height, width)) - size  # largest y and x of a crop
        limit = torch.minimum(
            torch.full_like(margin, round(MAX_SHIFT * size / target)), margin // 2
        )
        shift = (self._rand(2, count) * 2 - 1).mul(limit).round().long()
        shift = shift * ((self._rand(count) < SHIFT_PROBABILITY) & (t == 0.5))
        y = torch.maximum(torch.minimum(y, margin[0] - shift[0].abs()), shift[0].abs())
        x = torch.maximum(torch.minimum(x, margin[1] - shift[1].abs()), shift[1].abs())
        colours = torch.arange(3, device=self.device).expand(count, 3)
        shuffled = self._rand(count, 3).argsort(1)
        colours = torch.where((self._rand(count) < SHUFFLE_PROBABILITY)[:, None], shuffled, colours)
        turns = self._rand(3, count) < 0.5
        frames = []
        for step, sign in zip(order, (-1, 0, 1), strict=True):
            top, left = y + sign * shift[0], x + sign * shift[1]
            corner = self.start[clip] + (((frame + step) * height + top) * width + left) * 3
            positions = CropPositions(corner, width * 3, turns[0], turns[1], turns[2], colours)
            frames.append(cut_crops(self.flat, positions, size, target))
        return fade(recolour(Crops(frames[0], frames[1], frames[2], t)))

    def _choose_positions(self, count: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Choose clip, first frame and top left corner of the crops, each (N,)."""
        windows = self.windows[size]
        assert windows is not None, f"no clip is large enough for crops of {size}"
        candidates = count * CANDIDATES
        drawn = windows.table[torch.multinomial(windows.weight, candidates, replacement=True)]
        clip, frame, begin, rows, columns = drawn.unbind(1)
        y = (self._rand(candidates) * (self.height[clip] - size + 1)).long()
        x = (self._rand(candidates) * (self.width[clip] - size + 1)).long()
        cell = torch.minimum(y // CELL, rows - 1) * columns + torch.minimum(x // CELL, columns - 1)
        motion = windows.maps[begin + cell]
        weight = motion / (motion + MOTION_SCALE) + MIN_MOTION
        # Gumbel top-k: sampling without replacement with probability proportional to the weight.
        noise = -(-self._rand(candidates).clamp(1e-9, 1 - 1e-7).log()).log()
        best = (weight.log() + noise).topk(count).indices
        return clip[best], frame[best], y[best], x[best]

    def _order(
        self, count: int, middle_probability: float
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Choose the first, middle and second frame of the window; return them and t."""
        halfway = self._rand(count) < middle_probability
        distance = 1 + (self._rand(count) * (WINDOW // 2)).long()
        centre = torch.full_like(distance, WINDOW // 2)
        span = 2 + (self._rand(count) * (WINDOW - 2)).long()
        begin = (self._rand(count) * (WINDOW - span)).long()
        inside = begin + 1 + (self._rand(count) * (span - 1)).long()
        first = torch.where(halfway, centre - distance, begin)
        middle = torch.where(halfway, centre, inside)
        second = torch.where(halfway, centre + distance, begin + span)
        backwards = self._rand(count) < REVERSE_PROBABILITY
        first, second = torch.where(backwards, second, first), torch.where(backwards, first, second)
        return (first, middle, second), (middle - first).float() / (second - first).float()

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device)


def fade(crops: Crops) -> Crops:
    """Fade some samples to or from black, white or a grey (see `midframe.data.augment.fade`)."""
    count, device = len(crops.t), crops.t.device
    choice, grey = torch.rand(count, device=device), torch.rand(count, device=device)
    grey = torch.where(choice < 0.34, torch.zeros_like(grey), grey)
    grey = torch.where(choice > 0.66, torch.ones_like(grey), grey)[:, None, None, None]
    begin, end = torch.rand(2, count, device=device) * MAX_FADE
    faded = (torch.rand(count, device=device) < FADE_PROBABILITY).float()
    times = torch.zeros_like(crops.t), crops.t, torch.ones_like(crops.t)
    frames = []
    for frame, t in zip(crops[:3], times, strict=True):
        amount = (faded * (begin + t * (end - begin)))[:, None, None, None]
        frames.append(frame + amount * (grey - frame))
    return Crops(frames[0], frames[1], frames[2], crops.t)


def recolour(crops: Crops) -> Crops:
    """Change gain and gamma of half of the samples, equally in all frames."""
    count, device = len(crops.t), crops.t.device

    def rand() -> Tensor:
        return to_nchw(torch.rand(count, device=device))

    changed = rand() < RECOLOUR_PROBABILITY
    gamma = torch.where(changed, 2 ** (rand() * 1.4 - 0.7), torch.ones_like(rand()))
    gain = torch.where(changed, 0.5 + rand() * 0.7, torch.ones_like(gamma))
    frames = [(frame**gamma * gain).clamp(0, 1) for frame in crops[:3]]
    return Crops(frames[0], frames[1], frames[2], crops.t)
