"""Render overlays on crops: text, outlines and thin bars, static or with a motion of their own."""

from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.training.on_device.crops import Crops, rand_signed, to_nchw

SIDE = 320
"""Height and width of the masks in pixels."""
SUPERSAMPLING = 2
"""Masks are rendered at this multiple of the size, then downscaled."""
STATIC_PROBABILITY = 0.5
"""Probability that an overlay is static."""
MAX_SPEED = 0.2
"""Maximum motion of the others from the middle to either end, per axis, as a fraction of the
crop."""
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)


class Overlays:
    """Masks of text, outlines and bars, stored as bytes on a device.

    Args:
        count: number of masks.
        device: the device.
        seed: random seed.
    """

    def __init__(self, count: int, device: torch.device, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        masks = np.stack([draw_mask(rng) for _ in range(count)])
        self.masks = torch.from_numpy(masks)[:, None].to(device)

    def composite(self, crops: Crops, probability: float) -> Crops:
        """Composite overlays onto some samples, in all three frames, moved by their times.

        Args:
            crops: the samples.
            probability: of an overlay on a sample.
        """
        count = len(crops.t)
        size = crops.first.shape[-1]
        device = crops.t.device
        rand = partial(torch.rand, device=device)
        masks = self.masks[(rand(count) * len(self.masks)).long()].float() / 255
        used = to_nchw(rand(count) < probability).float()
        moving = (rand(count, 1) >= STATIC_PROBABILITY).float()
        speed = rand_signed((count, 2), device) * rand(count, 1) * MAX_SPEED * size * moving
        corner = rand_signed((count, 2), device) * (SIDE - size) / 2
        colour = torch.where(
            to_nchw(rand(count) < 0.5), to_nchw(rand(count)).round(), rand(count, 3, 1, 1)
        )
        axis = torch.arange(size, device=device) + 0.5 - size / 2
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (S, S, 2): x, y
        alpha = used * to_nchw(0.6 + 0.4 * (rand(count) * 1.5).clamp(max=1))
        frames = []
        times = -torch.ones_like(crops.t), 2 * crops.t - 1, torch.ones_like(crops.t)
        for frame, time in zip(crops[:3], times, strict=True):
            place = grid + corner[:, None, None] - to_nchw(time) * speed[:, None, None]
            opacity = _sample_masks(masks, place) * alpha
            frames.append(frame + (colour - frame) * opacity)
        return Crops(frames[0], frames[1], frames[2], crops.t)


def _sample_masks(masks: Tensor, place: Tensor) -> Tensor:
    grid = place / (SIDE / 2)
    return functional.grid_sample(
        masks, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def draw_mask(rng: np.random.Generator) -> np.ndarray:
    """Draw a mask (SIDE, SIDE), bytes: text, an outline, or bars of one to eight pixels."""
    large = np.zeros((SIDE * SUPERSAMPLING, SIDE * SUPERSAMPLING), np.uint8)
    shape = rng.integers(3)
    if shape == 0:
        for _ in range(rng.integers(1, 7)):
            _draw_text(large, rng)
    elif shape == 1:
        corner = rng.integers(0, SIDE * SUPERSAMPLING * 3 // 4, 2)
        extent = rng.integers(20, SIDE, 2) * SUPERSAMPLING // 2
        thickness = int(SUPERSAMPLING * rng.integers(1, 7))
        cv2.rectangle(
            large, corner.tolist(), (corner + extent).tolist(), 255, thickness, cv2.LINE_AA
        )
        _draw_text(large, rng)
    else:
        for _ in range(rng.integers(1, 6)):
            ends = rng.integers(0, SIDE * SUPERSAMPLING, (2, 2))
            thickness = int(SUPERSAMPLING * (1 + 7 * rng.random() ** 2))
            cv2.line(large, ends[0].tolist(), ends[1].tolist(), 255, thickness, cv2.LINE_AA)
    return np.asarray(cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def _draw_text(canvas: np.ndarray, rng: np.random.Generator) -> None:
    text = "".join(chr(c) for c in rng.integers(ord("0"), ord("z") + 1, int(rng.integers(2, 16))))
    place = rng.integers(0, SIDE * SUPERSAMPLING, 2) * (0.6, 1.0)
    scale = float(rng.uniform(0.4, 3.0)) * SUPERSAMPLING
    thickness = max(1, int(scale * rng.uniform(0.8, 2.2)))
    font = FONTS[rng.integers(len(FONTS))]
    cv2.putText(canvas, text, place.astype(int).tolist(), font, scale, 255, thickness, cv2.LINE_AA)
