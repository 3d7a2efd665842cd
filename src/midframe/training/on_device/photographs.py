"""Render samples with synthetic motion on the device, from photographs and patterns.

A background and a foreground layer each have an affine motion and are rendered at twice the size,
so that the middle frame is exact and sharp. Some layers have periodic textures (stripes, grids,
bricks), whose motion is ambiguous except at their outline.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.training.on_device.crops import Crops, rand_signed, to_nchw

SIDE = 1024
"""Height and width in pixels of the squares that photographs are cut to."""
MIN_SIDE = 400
"""Smaller photographs are dropped, in pixels."""
SUPERSAMPLING = 2
"""Frames are rendered at this multiple of the size, then downscaled."""
MAX_ZOOM = 2.0
"""Maximum number of pixels of a photograph per output pixel, along each axis; the minimum is 1."""
MAX_SHEAR = 0.08
FOREGROUND_PROBABILITY, PATTERN_PROBABILITY = 0.7, 0.15
"""Probabilities of a foreground layer, and of a periodic texture."""


class Photographs:
    """Photographs, stored as bytes on a device.

    Args:
        paths: image files; those that are too small are dropped.
        device: the device.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        with ThreadPoolExecutor() as pool:
            found = [squares for squares in pool.map(read_squares, paths) if squares]
        stack = np.stack([square for squares in found for square in squares])
        self.device = device
        self.images = torch.from_numpy(stack).to(device).permute(0, 3, 1, 2).contiguous()

    def __len__(self) -> int:
        return len(self.images)

    def sample(
        self, count: int, size: int, max_motion: float = 0.18, *, any_time: bool = True
    ) -> Crops:
        """Render samples.

        Args:
            count: N.
            size: S in pixels.
            max_motion: maximum motion of a layer from the middle to either end, per axis, as a
                fraction of the size.
            any_time: in half of the samples, t is a multiple of 1/6 instead of 1/2.
        """
        device = self.device
        sixths = (1 + (torch.rand(count, device=device) * 5).floor()) / 6
        halfway = torch.rand(count, device=device) < (0.5 if any_time else 1.0)
        t = torch.where(halfway, torch.full_like(sixths, 0.5), sixths)
        times = [-torch.ones_like(t), 2 * t - 1, torch.ones_like(t)]
        background, _ = self._layer(count, size, times, max_motion)
        foreground, places = self._layer(count, size, times, max_motion)
        outline = self._make_outline(count)
        frames = []
        for below, above, place in zip(background, foreground, places, strict=True):
            opacity = outline(place / size)
            frame = functional.avg_pool2d(below + (above - below) * opacity, SUPERSAMPLING)
            frames.append(frame.mul(255).round().div(255))
        return Crops(frames[0], frames[1], frames[2], t)

    def _layer(
        self, count: int, size: int, times: Sequence[Tensor], max_motion: float
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Render a layer at some times: textures (N, 3, 2S, 2S) and coordinates (N, 2S, 2S, 2)."""
        device = self.device
        rand = partial(torch.rand, device=device)
        chosen = self.images[(rand(count) * len(self.images)).long()].float() / 255
        zoom = 1 + rand(count) * (MAX_ZOOM - 1)
        speed = rand_signed((count, 2), device).sign() * rand(count, 1) ** 2 * rand(count, 2)
        speed = speed * (max_motion * size)
        shear = rand_signed((count, 2, 2), device) * MAX_SHEAR * rand(count, 1, 1) ** 2
        angle = rand(count) * 2 * math.pi
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
        turn = turn * (zoom / (SIDE / 2))[:, None, None]
        centre = rand_signed((count, 2), device) * 0.25
        axis = (torch.arange(SUPERSAMPLING * size, device=device) + 0.5) / SUPERSAMPLING - size / 2
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (2S, 2S, 2): x, y
        pattern = _make_pattern(count, device)
        patterned = to_nchw(rand(count) < PATTERN_PROBABILITY)
        frames, places = [], []
        for time in times:
            drift = speed[:, None, None] + transform_points(shear, grid)
            place = grid - to_nchw(time) * drift
            where = transform_points(turn, place) + centre[:, None, None]
            texture = functional.grid_sample(
                chosen, where, mode="bilinear", padding_mode="reflection", align_corners=False
            )
            frames.append(torch.where(patterned, pattern(place), texture))
            places.append(place)
        return frames, places

    def _make_outline(self, count: int):  # type: ignore[no-untyped-def]
        """Return the opacity of a random blob as a function of coordinates."""
        device = self.device
        noise = torch.rand(count, 1, 7, 7, device=device)
        noise = functional.interpolate(noise, size=(64, 64), mode="bicubic", align_corners=False)
        level = 0.5 + (torch.rand(count, 1, 1, 1, device=device) - 0.35) * 0.3
        sharpness = 8 + torch.rand(count, 1, 1, 1, device=device) * 120
        present = to_nchw(torch.rand(count, device=device) < FOREGROUND_PROBABILITY).float()

        def opacity(place: Tensor) -> Tensor:
            height = functional.grid_sample(
                noise, place * 1.5, mode="bicubic", padding_mode="reflection", align_corners=False
            )
            return torch.sigmoid((height - level) * sharpness) * present

        return opacity


def transform_points(matrices: Tensor, points: Tensor) -> Tensor:
    """Multiply points (..., 2) by matrices (N, 2, 2): (N, H, W, 2).

    A matrix product is slower for such small matrices.
    """
    x, y = points[..., 0], points[..., 1]
    rows = matrices[:, :, None, None, :].unbind(1)
    return torch.stack([row[..., 0] * x + row[..., 1] * y for row in rows], dim=-1)


def _make_pattern(count: int, device: torch.device):  # type: ignore[no-untyped-def]
    """Return stripes, grids or bricks of two colours as a function of coordinates in pixels."""
    period = 4 + torch.rand(count, device=device) ** 2 * 44
    angle = torch.rand(count, device=device) * math.pi
    edge = (1 + torch.rand(count, device=device) * 4)[:, None, None]
    pattern = (torch.rand(count, device=device) * 3).long()[:, None, None]
    duty = rand_signed((count, 1, 1), device) * 0.6
    colours = torch.rand(2, count, 3, 1, 1, device=device)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    frequency = (2 * math.pi / period)[:, None, None]

    def texture(place: Tensor) -> Tensor:
        x, y = place.unbind(-1)
        along, across = (x * cos + y * sin) * frequency, (y * cos - x * sin) * frequency
        # Every second row of bricks is shifted by half a brick.
        along = torch.where(
            pattern == 2, along / 2 + math.pi * (across / (2 * math.pi)).floor(), along
        )
        lines = torch.where(pattern == 0, along.sin(), torch.maximum(along.sin(), across.sin()))
        amount = torch.sigmoid((lines - duty) * edge * 2)[:, None]
        return colours[0] + (colours[1] - colours[0]) * amount

    return texture


def read_squares(path: Path) -> list[np.ndarray]:
    """Cut a photograph to one or two squares (SIDE, SIDE, 3), RGB; none if it is too small."""
    image = cv2.imread(str(path))
    if image is None or min(image.shape[:2]) < MIN_SIDE:
        return []
    factor = SIDE / min(image.shape[:2])
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=method)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if min(image.shape[:2]) < SIDE:  # rounding
        image = cv2.resize(image, (max(SIDE, image.shape[1]), max(SIDE, image.shape[0])))
    height, width = image.shape[:2]
    if height > width:
        image, height, width = image.transpose(1, 0, 2), width, height
    corners = [0, width - SIDE] if width > 1.35 * SIDE else [(width - SIDE) // 2]
    return [np.ascontiguousarray(image[:SIDE, corner : corner + SIDE]) for corner in corners]
