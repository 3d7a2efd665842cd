"""Static overlays in front of a moving image: logos, subtitles, displays. Networks distort them.

A static pixel among changing ones belongs to an overlay, or to the background beside a moving
object, which leaves after some frames. So a pixel is classified as overlay if it is static for
several successive frames while most pixels around it change.
"""

from fractions import Fraction

import av
import numpy as np

from midframe.media.colour.conversion import grey
from midframe.media.pictures.images import Array

MAX_STATIC_DIFFERENCE = 6
"""Largest difference of static pixels, in grey levels of 255. Codecs change static pixels beside
moving ones by as much."""
BLOCK, BLOCKS_AROUND = 8, 9
"""The surroundings that must change are a square of 9 blocks of 8 pixels on a side."""
MIN_CHANGING = 0.4
"""Minimum fraction of the surroundings that changes, averaged over the consecutive frames."""
FRAMES = 4
"""Number of consecutive pairs of frames from which an overlay is detected."""


class OverlayFinder:
    """Detects the pixels of overlays in successive pairs of frames."""

    def __init__(self) -> None:
        self._static_pairs: Array | None = None
        """Number of successive pairs in which each pixel is static, (H, W), up to 255."""
        self._changing_fraction: Array | None = None
        """The fraction of the surroundings of each block that changed, (rows, columns) of blocks,
        a moving average over the last pairs."""
        self._before: Array | None = None

    def add_pair(self, before: av.VideoFrame, after: av.VideoFrame, *, cut: bool) -> None:
        """Add the next pair; a cut resets the detection."""
        first = grey(before) if self._before is None else self._before
        self._before = second = grey(after)
        if cut or first.shape != second.shape:
            self._static_pairs = self._changing_fraction = None
            return
        changed = np.maximum(first, second) - np.minimum(first, second) > MAX_STATIC_DIFFERENCE
        static = ~_combine_neighbours(changed, np.logical_or)  # a pixel and all its neighbours
        around = _changing_fraction_around(changed)
        if self._static_pairs is None or self._changing_fraction is None:
            self._static_pairs = static.astype(np.uint8)
            self._changing_fraction = around
            return
        self._static_pairs = (np.minimum(self._static_pairs, 254) + np.uint8(1)) * static
        self._changing_fraction += (around - self._changing_fraction) / FRAMES

    def overlays(self) -> Array | None:
        """Return the weights of overlays in the last pair, (H, W) from 0 to 1; None if there are
        none."""
        if self._static_pairs is None or self._changing_fraction is None:
            return None
        busy = self._changing_fraction >= MIN_CHANGING
        if not busy.any():
            return None
        found = self._static_pairs >= FRAMES
        height, width = found.shape
        found &= np.repeat(np.repeat(busy, BLOCK, 0), BLOCK, 1)[:height, :width]
        if not found.any():
            return None
        weights: Array = _combine_neighbours(found.astype(np.uint8), np.add) / np.float32(9)
        return weights


def keep_overlays(
    interpolated: Array, before: Array, after: Array, t: Fraction, overlays: Array
) -> Array:
    """Copy the overlays of the two source frames into an interpolated frame.

    Args:
        interpolated, before, after: samples of the frames, (h, w) or (h, w, C) integers.
        t: the time of the interpolated frame, from 0 to 1.
        overlays: weights of the overlays, (h, w), from 0 to 1.
    """
    kept: Array = interpolated.copy()
    places = np.nonzero(overlays)
    weights = overlays[places] if interpolated.ndim == 2 else overlays[places][:, None]
    current = interpolated[places]
    blend = before[places] * np.float32(1 - t) + after[places] * np.float32(t)
    kept[places] = np.rint(current + weights * (blend - current))
    return kept


def _combine_neighbours(values: Array, combine: np.ufunc) -> Array:
    """Combine the values in the 3x3 square around each pixel."""
    for axis in (0, 1):
        low, high = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        result = values.copy()
        combine(result[low], values[high], out=result[low])
        combine(result[high], values[low], out=result[high])
        values = result
    return values


def _changing_fraction_around(changed: Array) -> Array:
    """Return the fraction of the blocks around each block, within the image, that changed."""
    height, width = changed.shape
    padded = np.pad(changed, ((0, -height % BLOCK), (0, -width % BLOCK)))
    rows = padded.shape[0] // BLOCK
    columns = padded.shape[1] // BLOCK
    down = padded.reshape(rows, BLOCK, -1).sum(axis=1, dtype=np.uint8)
    sums = down.reshape(rows, columns, BLOCK).sum(axis=2).astype(np.float32)
    block_heights = np.minimum(BLOCK, height - BLOCK * np.arange(rows))
    block_widths = np.minimum(BLOCK, width - BLOCK * np.arange(columns))
    blocks = sums / np.outer(block_heights, block_widths)
    around: Array = (_sum_around(blocks) / _sum_around(np.ones_like(blocks))).astype(np.float32)
    return around


def _sum_around(blocks: Array) -> Array:
    """Sum the `BLOCKS_AROUND` blocks around each block, along both axes."""
    reach = BLOCKS_AROUND // 2
    for _ in range(2):
        total = np.pad(blocks, ((reach + 1, reach), (0, 0))).cumsum(axis=0, dtype=np.float64)
        blocks = (total[BLOCKS_AROUND:] - total[:-BLOCKS_AROUND]).T
    return blocks
