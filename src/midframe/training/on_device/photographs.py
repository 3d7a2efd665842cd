"""Synthetic motion on the device: photographs and patterns that move by known motions.

A ground and a layer before it move each by an affine motion, rendered at twice the size, so that the
middle frame is exact and sharp. Some layers show repeated patterns (stripes, grids, bricks), whose
motion only their outline tells.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.training.on_device.crops import Crops, column, signed

SIDE = 1024
"""Photographs are cut to squares of so many pixels."""
MIN_SIDE = 400
FINER = 2
"""Frames are rendered so many times larger, then reduced."""
MAX_ZOOM = 2.0
"""Pixels of a photograph that a pixel of the result covers, at most; 1 at least."""
MAX_SHEAR = 0.08
LAYERED, PATTERNED = 0.7, 0.15
"""Shares of the samples with a layer before the ground, and of textures that are patterns."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class Photographs:
    """Photographs as bytes on a device.

    Args:
        paths: of the files; those that are too small are left out.
        device: where they lie.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        with ThreadPoolExecutor() as pool:
            found = [squares for squares in pool.map(read_squares, paths) if squares]
        stack = np.stack([square for squares in found for square in squares])
        self.device = device
        self.images = torch.from_numpy(stack).to(device).permute(0, 3, 1, 2).contiguous()

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, count: int, size: int, max_motion: float = 0.18) -> Crops:
        """Render samples.

        Args:
            count: N.
            size: S in pixels.
            max_motion: of a layer from the middle to either end, in shares of the size, per axis.
        """
        device = self.device
        sixths = (1 + (torch.rand(count, device=device) * 5).floor()) / 6
        t = torch.where(
            torch.rand(count, device=device) < 0.5, torch.full_like(sixths, 0.5), sixths
        )
        times = [-torch.ones_like(t), 2 * t - 1, torch.ones_like(t)]
        ground, _ = self._layer(count, size, times, max_motion)
        front, places = self._layer(count, size, times, max_motion)
        outline = self._outline(count)
        frames = []
        for below, above, place in zip(ground, front, places, strict=True):
            opacity = outline(place / size)
            frame = functional.avg_pool2d(below + (above - below) * opacity, FINER)
            frames.append(frame.mul(255).round().div(255))
        return Crops(frames[0], frames[1], frames[2], t)

    def _layer(
        self, count: int, size: int, times: Sequence[Tensor], max_motion: float
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Textures at some times, (N, 3, 2S, 2S), and the layer's coordinates there, (N, 2S, 2S, 2)."""
        device = self.device
        rand = lambda *shape: torch.rand(shape, device=device)  # noqa: E731
        chosen = self.images[(rand(count) * len(self.images)).long()].float() / 255
        zoom = 1 + rand(count) * (MAX_ZOOM - 1)
        speed = signed((count, 2), device).sign() * rand(count, 1) ** 2 * rand(count, 2)
        speed = speed * (max_motion * size)
        shear = signed((count, 2, 2), device) * MAX_SHEAR * rand(count, 1, 1) ** 2
        angle = rand(count) * 2 * math.pi
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
        turn = turn * (zoom / (SIDE / 2))[:, None, None]
        centre = signed((count, 2), device) * 0.25
        axis = (torch.arange(FINER * size, device=device) + 0.5) / FINER - size / 2
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)  # (2S, 2S, 2): x, y
        pattern, patterned = _pattern(count, device), column(rand(count) < PATTERNED)
        frames, places = [], []
        for time in times:
            drift = speed[:, None, None] + transformed(shear, grid)
            place = grid - column(time) * drift
            where = transformed(turn, place) + centre[:, None, None]
            texture = functional.grid_sample(
                chosen, where, mode="bilinear", padding_mode="reflection", align_corners=False
            )
            frames.append(torch.where(patterned, pattern(place), texture))
            places.append(place)
        return frames, places

    def _outline(self, count: int):  # type: ignore[no-untyped-def]  # a function of places
        """Opacity of a random blob with an edge of random sharpness, as a function of coordinates."""
        device = self.device
        noise = torch.rand(count, 1, 7, 7, device=device)
        noise = functional.interpolate(noise, size=(64, 64), mode="bicubic", align_corners=False)
        level = 0.5 + (torch.rand(count, 1, 1, 1, device=device) - 0.35) * 0.3
        sharpness = 8 + torch.rand(count, 1, 1, 1, device=device) * 120
        present = column(torch.rand(count, device=device) < LAYERED).float()

        def opacity(place: Tensor) -> Tensor:
            height = functional.grid_sample(
                noise, place * 1.5, mode="bicubic", padding_mode="reflection", align_corners=False
            )
            return torch.sigmoid((height - level) * sharpness) * present

        return opacity


def transformed(matrices: Tensor, points: Tensor) -> Tensor:
    """Points (..., 2) times matrices (N, 2, 2): (N, H, W, 2). A product of such small ones is slow."""
    x, y = points[..., 0], points[..., 1]
    rows = matrices[:, :, None, None, :].unbind(1)
    return torch.stack([row[..., 0] * x + row[..., 1] * y for row in rows], dim=-1)


def _pattern(count: int, device: torch.device):  # type: ignore[no-untyped-def]  # a function of places
    """Stripes, grids and bricks of two colours, as a function of coordinates in pixels."""
    period = 4 + torch.rand(count, device=device) ** 2 * 44
    angle = torch.rand(count, device=device) * math.pi
    edge = (1 + torch.rand(count, device=device) * 4)[:, None, None]
    kind = (torch.rand(count, device=device) * 3).long()[:, None, None]
    duty = signed((count, 1, 1), device) * 0.6
    colours = torch.rand(2, count, 3, 1, 1, device=device)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    frequency = (2 * math.pi / period)[:, None, None]

    def texture(place: Tensor) -> Tensor:
        x, y = place.unbind(-1)
        along, across = (x * cos + y * sin) * frequency, (y * cos - x * sin) * frequency
        # Every second row of bricks is moved by half a brick.
        along = torch.where(
            kind == 2, along / 2 + math.pi * (across / (2 * math.pi)).floor(), along
        )
        lines = torch.where(kind == 0, along.sin(), torch.maximum(along.sin(), across.sin()))
        amount = torch.sigmoid((lines - duty) * edge * 2)[:, None]
        return colours[0] + (colours[1] - colours[0]) * amount

    return texture


def read_squares(path: Path) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Cut a photograph to one or two squares (SIDE, SIDE, 3), RGB; none if it is too small."""
    image = cv2.imread(str(path))
    if image is None or min(image.shape[:2]) < MIN_SIDE:
        return []
    factor = SIDE / min(image.shape[:2])
    way = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=way)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if min(image.shape[:2]) < SIDE:  # rounding
        image = cv2.resize(image, (max(SIDE, image.shape[1]), max(SIDE, image.shape[0])))
    height, width = image.shape[:2]
    if height > width:
        image, height, width = image.transpose(1, 0, 2), width, height
    corners = [0, width - SIDE] if width > 1.35 * SIDE else [(width - SIDE) // 2]
    return [np.ascontiguousarray(image[:SIDE, corner : corner + SIDE]) for corner in corners]
