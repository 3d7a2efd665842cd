"""Overlays that stand still in front of a moving picture: logos, subtitles, displays. Networks
distort them.

A pixel that does not change, in the middle of others that do, may belong to such an overlay, or to
a background that something passes before. What passes is gone after some frames; so a pixel counts
as overlay when it has been still for several frames in a row, while most pixels around it changed
all the time.
"""

from fractions import Fraction

import av
import numpy as np

from midframe.media.colour.conversion import grey
from midframe.media.pictures.images import Array

EQUAL = 6
"""Of 255: what differs by so much at most is equal. Codecs change still pixels that much beside
moving ones."""
BLOCK, BLOCKS_AROUND = 8, 9
"""The surroundings that must change are a square of 9 blocks of 8 pixels on a side."""
CHANGING = 0.4
"""Share of the surroundings that changes at least, in the mean of the frames in a row."""
FRAMES = 4
"""So many pairs of frames in a row tell an overlay."""


class OverlayFinder:
    """Finds the pixels of overlays from consecutive pairs of frames."""

    def __init__(self) -> None:
        self._still_for: Array | None = None
        """For how many pairs each pixel has been still, up to 255, (H, W)."""
        self._changing: Array | None = None
        """The fraction of the surroundings of each block that changed, averaged over the last
        pairs."""
        self._before: Array | None = None

    def add_pair(self, before: av.VideoFrame, after: av.VideoFrame, *, cut: bool) -> None:
        """Add the next pair; a cut between them starts again."""
        first = grey(before) if self._before is None else self._before
        self._before = second = grey(after)
        if cut or first.shape != second.shape:
            self._still_for = self._changing = None
            return
        changed = np.maximum(first, second) - np.minimum(first, second) > EQUAL
        still, around = (
            ~_gathered(changed, np.logical_or),
            _around(changed),
        )  # still with all its neighbours
        if self._still_for is None or self._changing is None:
            self._still_for, self._changing = still.astype(np.uint8), around
            return
        self._still_for = (np.minimum(self._still_for, 254) + np.uint8(1)) * still
        self._changing += (around - self._changing) / FRAMES

    def overlays(self) -> Array | None:
        """Which pixels of the last pair belong to an overlay, (H, W) from 0 to 1; None if there are
        none."""
        if self._still_for is None or self._changing is None:
            return None
        found = self._still_for >= FRAMES
        if not found.any():
            return None
        height, width = found.shape
        found &= np.repeat(np.repeat(self._changing >= CHANGING, BLOCK, 0), BLOCK, 1)[
            :height, :width
        ]
        if not found.any():
            return None
        weights: Array = _gathered(found.astype(np.uint8), np.add) / np.float32(9)
        return weights


def keep_overlays(
    interpolated: Array, before: Array, after: Array, t: Fraction, overlays: Array
) -> Array:
    """Put the overlays of the frames around it into an interpolated frame.

    Args:
        interpolated, before, after: samples of the frames, (h, w) or (h, w, C) integers.
        t: the time of the interpolated frame, from 0 to 1.
        overlays: weights of the overlays, (h, w), from 0 to 1.
    """
    kept: Array = interpolated.copy()
    places = np.nonzero(overlays)
    weights = overlays[places] if interpolated.ndim == 2 else overlays[places][:, None]
    current, first, second = (samples[places] for samples in (interpolated, before, after))
    still = first * np.float32(1 - t) + second * np.float32(t)
    kept[places] = np.rint(current + weights * (still - current))
    return kept


def _gathered(values: Array, combine: np.ufunc) -> Array:
    """The values in the square of 3 pixels around each, combined."""
    for axis in (0, 1):
        result, (low, high) = (
            values.copy(),
            (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:]),
        )
        combine(result[low], values[high], out=result[low])
        combine(result[high], values[low], out=result[high])
        values = result
    return values


def _around(changed: Array) -> Array:
    """The fraction of the surroundings of each block that changed, of those of them that lie in the
    picture."""
    height, width = changed.shape
    padded = np.pad(changed, ((0, -height % BLOCK), (0, -width % BLOCK)))
    rows, columns = (size // BLOCK for size in padded.shape)
    down = padded.reshape(rows, BLOCK, -1).sum(axis=1, dtype=np.uint8)
    sums = down.reshape(rows, columns, BLOCK).sum(axis=2).astype(np.float32)
    inside = [
        np.minimum(BLOCK, size - BLOCK * np.arange(count))
        for size, count in ((height, rows), (width, columns))
    ]
    blocks = sums / np.outer(*inside)
    around: Array = (_sums(blocks) / _sums(np.ones_like(blocks))).astype(np.float32)
    return around


def _sums(blocks: Array) -> Array:
    """The sums of the `BLOCKS_AROUND` blocks around each, along both axes."""
    reach = BLOCKS_AROUND // 2
    for _ in range(2):
        total = np.pad(blocks, ((reach + 1, reach), (0, 0))).cumsum(axis=0, dtype=np.float64)
        blocks = (total[BLOCKS_AROUND:] - total[:-BLOCKS_AROUND]).T
    return blocks
