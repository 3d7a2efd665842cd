"""Self-ensemble (test-time augmentation): the mean of a network's predictions for rotated and
mirrored frames (arXiv 1511.02228; for interpolation arXiv 2011.01280)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from midframe.models.network import Network

VIEWS = (1, 2, 4, 8)
"""Possible numbers of views: the original; also rotated by 90 degrees; also by 180 and 270 degrees;
also the mirror images of these four."""


class View(NamedTuple):
    """A rotation and reflection of a pair of frames (N, C, H, W)."""

    quarters: int
    """Rotation in multiples of 90 degrees, anticlockwise."""
    mirrored: bool
    """Whether the rotated frames are mirrored, left to right."""
    reversed: bool
    """Whether the second frame comes first."""

    def transform(self, frame: Tensor) -> Tensor:
        """Rotate and mirror a frame."""
        rotated = torch.rot90(frame, self.quarters, (2, 3))
        view = rotated.flip(3) if self.mirrored else rotated
        return view.contiguous(memory_format=torch.channels_last)

    def invert(self, frame: Tensor) -> Tensor:
        """Invert `transform`."""
        return torch.rot90(frame.flip(3) if self.mirrored else frame, -self.quarters, (2, 3))

    def transform_rectangle(
        self, rows: slice, columns: slice, size: tuple[int, int]
    ) -> tuple[slice, slice]:
        """Return where `transform` moves a rectangle of a frame whose height and width are
        `size`."""
        height, width = size
        for _ in range(self.quarters):
            rows, columns = _count_from_end(columns, width), rows
            height, width = width, height
        return rows, _count_from_end(columns, width) if self.mirrored else columns


class Ensemble(Network):
    """Averages a network's predictions for several views of a pair of frames, a power of two up to
    8.

    Every other view is also reversed in time: the errors of two views that differ in space and time
    are less correlated than those of views that differ in one of them.
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
        all_views = [
            View(quarters, mirrored, reversed=bool((quarters + mirrored) % 2))
            for mirrored in (False, True)
            for quarters in range(4)
        ]
        self.views = all_views[:views]

    @property
    def margin(self) -> int:
        return self.network.margin

    def forward(self, first: Tensor, second: Tensor, t: Tensor | float = 0.5) -> Tensor:
        """See `Network`."""
        self.check_time(t)
        height, width = first.shape[2:]
        return self.render_tile(self.prepare(first, second), slice(0, height), slice(0, width), t)

    def prepare(self, first: Tensor, second: Tensor) -> tuple[tuple[int, int], list[Any]]:
        """Return the size of the frames, and the prepared pair of each view."""
        prepared = []
        for view in self.views:
            pair = (second, first) if view.reversed else (first, second)
            prepared.append(self.network.prepare(*map(view.transform, pair)))
        return (first.shape[2], first.shape[3]), prepared

    def render_tile(
        self,
        prepared: tuple[tuple[int, int], list[Any]],
        rows: slice,
        columns: slice,
        t: Tensor | float = 0.5,
    ) -> Tensor:
        size, prepared_views = prepared
        results = []
        for view, prepared_view in zip(self.views, prepared_views, strict=True):
            rectangle = view.transform_rectangle(rows, columns, size)
            view_time = 1 - t if view.reversed else t
            tile = self.network.render_tile(prepared_view, *rectangle, view_time)
            results.append(view.invert(tile))
        return torch.stack(results).mean(0)

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
