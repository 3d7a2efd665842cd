"""Self-ensemble (test-time augmentation): the mean of a network's predictions for rotated and
mirrored frames (arXiv 1511.02228; for interpolation arXiv 2011.01280)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from midframe.models.network import Network

VIEWS = (1, 2, 4, 8)
"""Possible numbers of views: unchanged; also rotated by 90 degrees; by all multiples of it; all of
these also mirrored."""


class View(NamedTuple):
    """A rotation and reflection of a pair of frames (N, C, H, W)."""

    quarters: int
    """Rotation in multiples of 90 degrees, anticlockwise."""
    mirrored: bool
    """Whether the rotated frames are mirrored, left to right."""
    reversed: bool
    """Whether the second frame comes first."""

    def of(self, frame: Tensor) -> Tensor:
        """Rotate and mirror a frame."""
        turned = torch.rot90(frame, self.quarters, (2, 3))
        turned = turned.flip(3) if self.mirrored else turned
        return turned.contiguous(memory_format=torch.channels_last)

    def back(self, frame: Tensor) -> Tensor:
        """Invert `of`."""
        return torch.rot90(frame.flip(3) if self.mirrored else frame, -self.quarters, (2, 3))

    def place(self, rows: slice, columns: slice, size: tuple[int, int]) -> tuple[slice, slice]:
        """Return the position of a rectangle of a frame of some height and width after `of`."""
        height, width = size
        for _ in range(self.quarters):
            rows, columns = _count_from_end(columns, width), rows
            height, width = width, height
        return rows, _count_from_end(columns, width) if self.mirrored else columns


class Ensemble(Network):
    """Averages a network's predictions for several views of a pair of frames, a power of two up to
    8.

    Every other view is reversed in time, too: the errors of two views that differ in both ways are
    less correlated than those of views that differ in one.
    """

    def __init__(self, network: Network, views: int) -> None:
        super().__init__()
        if views not in VIEWS:
            raise ValueError(f"ensemble is {views}: 1, 2, 4 or 8 is needed")
        self.network = network
        self.config = (views, network.config)
        self.tile = network.tile
        self.any_time = network.any_time
        self.scale = network.scale
        self.max_plain_pixels = network.max_plain_pixels // views
        ways = [(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]
        self.views = [View(*way, reversed=bool(sum(way) % 2)) for way in ways[:views]]

    @property
    def margin(self) -> int:
        return self.network.margin

    def prepare(self, first: Tensor, second: Tensor) -> tuple[tuple[int, int], list[Any]]:
        """Return the size of the frames, and the prepared pair of each view."""
        pairs = [(second, first) if view.reversed else (first, second) for view in self.views]
        seen = [map(view.of, pair) for view, pair in zip(self.views, pairs, strict=True)]
        return (first.shape[2], first.shape[3]), [self.network.prepare(*pair) for pair in seen]

    def render_tile(
        self,
        prepared: tuple[tuple[int, int], list[Any]],
        rows: slice,
        columns: slice,
        t: float = 0.5,
    ) -> Tensor:
        size, seen = prepared
        made = [
            view.back(
                self.network.render_tile(
                    each, *view.place(rows, columns, size), 1 - t if view.reversed else t
                )
            )
            for view, each in zip(self.views, seen, strict=True)
        ]
        return torch.stack(made).mean(0)

    def pairs_at_once(self, height: int, width: int) -> int:
        """See `Network`."""
        return max(1, self.network.pairs_at_once(height, width) // len(self.views))

    def kernels_at(self, first: Tensor, second: Tensor, x: int, y: int) -> Tensor:
        """See `Network`; for the original view only."""
        return self.network.kernels_at(first, second, x, y)

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Network`; for the original view only."""
        return self.network.motion(first, second)


def _count_from_end(span: slice, extent: int) -> slice:
    return slice(extent - span.stop, extent - span.start)
