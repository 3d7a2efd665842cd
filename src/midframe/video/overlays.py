"""What stands still before a moving picture: logos, subtitles, displays. Networks bend it with what moves behind it.

A pixel that does not change, in the middle of others that do, may belong to such an overlay, or to a background that
something passes before. What passes is gone after some frames; so a pixel counts as overlay when it has been still for
several frames in a row, while most pixels around it changed all the time.
"""

from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.images import Array
from midframe.video.colour import grey

EQUAL = 6
"""Of 255: what differs by so much at most is equal. Codecs change still pixels that much beside moving ones."""
NEIGHBOURHOOD = 3
"""Pixels are still if all in a square of this side are equal in two neighbouring frames."""
BLOCK, BLOCKS_AROUND = 8, 9
"""The surroundings that must change are a square of 9 blocks of 8 pixels on a side."""
CHANGING = 0.4
"""Share of the surroundings that changes at least, in the mean of the frames in a row."""
FRAMES = 4
"""So many pairs of frames in a row tell an overlay."""


class OverlayFinder:
    """Looks at pairs of neighbouring frames, one after another, and says which pixels stand before the picture."""

    def __init__(self) -> None:
        self._still_for: Tensor | None = None
        """For how many pairs each pixel has been still, (1, 1, H, W)."""
        self._changing: Tensor | None = None
        """The share of its surroundings that changed, averaged over the last pairs, (1, 1, H, W)."""
        self._before: Tensor | None = None

    def see(self, before: av.VideoFrame, after: av.VideoFrame, *, cut: bool) -> None:
        """Look at the next pair; a cut between them begins anew."""
        first = _luma(before) if self._before is None else self._before
        self._before = second = _luma(after)
        if cut or first.shape != second.shape:
            self._still_for = self._changing = None
            return
        changed = ((first - second).abs() > EQUAL).float()
        still = functional.max_pool2d(changed, NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2) == 0
        around = _around(changed)
        if self._still_for is None or self._changing is None:
            self._still_for, self._changing = still.float(), around
            return
        self._still_for = (self._still_for + 1) * still
        self._changing += (around - self._changing) / FRAMES

    def overlays(self) -> Array | None:
        """Which pixels of the last pair belong to an overlay, (H, W, 1) from 0 to 1; None if there are none."""
        if self._still_for is None or self._changing is None:
            return None
        found = ((self._still_for >= FRAMES) & (self._changing >= CHANGING)).float()
        if not found.any():
            return None
        return functional.avg_pool2d(found, 3, 1, 1)[0, 0, :, :, None].numpy()


def keep_overlays(made: Array, before: Array, after: Array, share: Fraction, overlays: Array) -> Array:
    """A made frame whose overlays are those of the frames around it."""
    weight = float(share)
    still = before * np.float32(1 - weight) + after * np.float32(weight)
    kept: Array = np.rint(made + overlays * (still - made)).astype(made.dtype)
    return kept


def _luma(picture: av.VideoFrame) -> Tensor:
    """(1, 1, H, W), from 0 to 255."""
    return torch.from_numpy(grey(picture)).float()[None, None]


def _around(changed: Tensor) -> Tensor:
    """The share of the surroundings of each pixel that changed, of those of them that lie in the picture."""
    height, width = changed.shape[2:]
    blocks = functional.avg_pool2d(changed, BLOCK, ceil_mode=True, count_include_pad=False)
    means = functional.avg_pool2d(blocks, BLOCKS_AROUND, 1, BLOCKS_AROUND // 2, count_include_pad=False)
    whole = functional.interpolate(means, scale_factor=BLOCK, mode="nearest")
    return whole[..., :height, :width]
