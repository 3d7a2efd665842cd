"""Detection of duplicate frames, for videos and for datasets."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

TOLERANCE = 1.0
"""Largest mean difference of a block of a duplicate, in grey levels of 255: codecs change
duplicates slightly."""
BLOCK = 16
"""Height and width of the blocks in pixels. Motion in a single block is enough for a new frame."""


def is_duplicate(before: Array, after: Array, tolerance: float = TOLERANCE) -> bool:
    """Return whether a grey image (H, W) uint8 repeats the one before it.

    Args:
        before, after: two successive images.
        tolerance: largest mean difference of a block of 16x16 pixels, in grey levels.
    """
    if before.shape != after.shape:
        return False
    change = np.abs(after.astype(np.int16) - before).astype(np.float32)
    below = -change.shape[0] % BLOCK
    right = -change.shape[1] % BLOCK
    blocks = np.pad(change, ((0, below), (0, right)), mode="edge")
    blocks = blocks.reshape(blocks.shape[0] // BLOCK, BLOCK, -1, BLOCK)
    return bool(blocks.mean((1, 3)).max() <= tolerance)
