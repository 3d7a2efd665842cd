"""Text, logos and thin bars over moving frames: standing or moving by themselves."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.training.on_device.crops import Crops, column, signed

SIDE, FINER = 320, 2
"""Masks are drawn on squares of so many pixels, this many times larger."""
STANDING = 0.5
"""Share of the overlays that do not move."""
MAX_SPEED = 0.2
"""Of the others from the middle to either end, per axis, in shares of the crop's size."""
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)


class Overlays:
    """Masks of text, frames and bars as bytes on a device.

    Args:
        count: how many are drawn.
        device: where they lie.
        seed: of the random numbers that they are drawn by.
    """

    def __init__(self, count: int, device: torch.device, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        masks = np.stack([draw_mask(rng) for _ in range(count)])
        self.masks = torch.from_numpy(masks)[:, None].to(device)

    def over(self, crops: Crops, probability: float) -> Crops:
        """Lay overlays over some samples, in all three frames at their times."""
        count, size, device = len(crops.t), crops.first.shape[-1], crops.t.device
        rand = lambda *shape: torch.rand(shape, device=device)  # noqa: E731
        masks = self.masks[(rand(count) * len(self.masks)).long()].float() / 255
        used = column(rand(count) < probability).float()
        moving = (rand(count, 1) >= STANDING).float()
        speed = signed((count, 2), device) * rand(count, 1) * MAX_SPEED * size * moving
        corner = signed((count, 2), device) * (SIDE - size) / 2
        colour = torch.where(
            column(rand(count) < 0.5), column(rand(count)).round(), rand(count, 3, 1, 1)
        )
        axis = torch.arange(size, device=device) + 0.5 - size / 2
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (S, S, 2): x, y
        strength = used * column(0.6 + 0.4 * (rand(count) * 1.5).clamp(max=1))
        frames = []
        for frame, time in zip(
            crops[:3],
            (-torch.ones_like(crops.t), 2 * crops.t - 1, torch.ones_like(crops.t)),
            strict=True,
        ):
            place = grid + corner[:, None, None] - column(time) * speed[:, None, None]
            opacity = _fetch(masks, place) * strength
            frames.append(frame + (colour - frame) * opacity)
        return Crops(frames[0], frames[1], frames[2], crops.t)


def _fetch(masks: Tensor, place: Tensor) -> Tensor:
    return functional.grid_sample(
        masks, place / (SIDE / 2), mode="bilinear", padding_mode="zeros", align_corners=False
    )


def draw_mask(rng: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    """Draw one mask (SIDE, SIDE), bytes: lines of text, an outline, or bars of one to eight pixels."""
    large = np.zeros((SIDE * FINER, SIDE * FINER), np.uint8)
    kind = rng.integers(3)
    if kind == 0:
        for _ in range(rng.integers(1, 7)):
            _draw_text(large, rng)
    elif kind == 1:
        corner = rng.integers(0, SIDE * FINER * 3 // 4, 2)
        extent = rng.integers(20, SIDE, 2) * FINER // 2
        thickness = int(FINER * rng.integers(1, 7))
        cv2.rectangle(
            large, corner.tolist(), (corner + extent).tolist(), 255, thickness, cv2.LINE_AA
        )
        _draw_text(large, rng)
    else:
        for _ in range(rng.integers(1, 6)):
            ends = rng.integers(0, SIDE * FINER, (2, 2))
            thickness = int(FINER * (1 + 7 * rng.random() ** 2))
            cv2.line(large, ends[0].tolist(), ends[1].tolist(), 255, thickness, cv2.LINE_AA)
    return cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _draw_text(canvas: np.ndarray, rng: np.random.Generator) -> None:  # type: ignore[type-arg]
    text = "".join(chr(c) for c in rng.integers(ord("0"), ord("z") + 1, int(rng.integers(2, 16))))
    place = rng.integers(0, SIDE * FINER, 2) * (0.6, 1.0)
    scale = float(rng.uniform(0.4, 3.0)) * FINER
    thickness = max(1, int(scale * rng.uniform(0.8, 2.2)))
    font = FONTS[rng.integers(len(FONTS))]
    cv2.putText(canvas, text, place.astype(int).tolist(), font, scale, 255, thickness, cv2.LINE_AA)
