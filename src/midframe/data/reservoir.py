"""The best patches of a clip, without near-duplicates."""

import heapq
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from midframe.data.shards import Frames

THUMBNAIL = 12
"""Height and width in pixels of the thumbnails by which patches are compared."""


@dataclass(order=True)
class Patch:
    """A patch in the reservoir; the one with the smallest key is evicted first."""

    key: float
    frames: Frames = field(compare=False)
    metadata: dict[str, Any] = field(compare=False)
    thumbnail: Any = field(default=None, compare=False)


class Reservoir:
    """Keeps the patches with the largest keys, without near-duplicates.

    Weighted sampling without replacement from a stream of unknown length keeps the items with the
    largest u ** (1 / weight) (Efraimidis and Spirakis, 2006).
    """

    def __init__(self, capacity: int, min_novelty: float = 0.0) -> None:
        self.capacity = capacity
        self.min_novelty = min_novelty
        self.patches: list[Patch] = []

    def would_keep(self, key: float) -> bool:
        """Return whether a patch with this key would be kept if it duplicates no other."""
        return len(self.patches) < self.capacity or key > self.patches[0].key

    def offer(self, new: Patch) -> None:
        """Add a patch, unless it duplicates one with a larger key."""
        new.thumbnail = _thumbnail(new.frames)
        if self.patches and self.min_novelty > 0:
            similar = _differences(self.patches, new) < self.min_novelty
            pairs = list(zip(self.patches, similar, strict=True))
            if any(old.key >= new.key for old, duplicate in pairs if duplicate):
                return
            if similar.any():
                self.patches = [old for old, duplicate in pairs if not duplicate]
                heapq.heapify(self.patches)
        heapq.heappush(self.patches, new)
        if len(self.patches) > self.capacity:
            heapq.heappop(self.patches)


def _differences(patches: list[Patch], new: Patch) -> Any:
    """Return the mean difference of the thumbnails from a new one, (P,), in grey levels."""
    return abs(np.stack([old.thumbnail for old in patches]) - new.thumbnail).mean(axis=(1, 2, 3, 4))


def _thumbnail(frames: Frames) -> Any:
    size = (THUMBNAIL, THUMBNAIL)
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(small).astype(np.float32)
