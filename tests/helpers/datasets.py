"""Frames for tests of datasets."""

from typing import Any

import cv2
import numpy as np

Image = np.ndarray[Any, Any]


def noise(height: int = 160, width: int = 220) -> Image:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def moving(step: int, count: int = 3, size: int = 120) -> list[Image]:
    whole = noise()
    return [
        whole[10 : 10 + size, 20 + step * index : 20 + step * index + size]
        for index in range(count)
    ]
