"""What every network offers to those that use it."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn


class Network(nn.Module):
    """A network that makes the middle of two frames (N, 3, H, W) in [0, 1], the whole at once or part by part.

    `forward(first, second)` makes it whole, not clipped. `prepare` and `part` make any rectangle of it alone, so that
    memory need not grow with the frame.
    """

    config: Any
    """The dataclass of its form."""
    tile: int
    """Side in pixels of the parts that a large frame is best made in."""

    @property
    def margin(self) -> int:
        """Pixels around a part that are computed with it and thrown away."""
        return 0

    def prepare(self, first: Tensor, second: Tensor) -> Any:
        """What all parts of a pair of frames share."""
        raise NotImplementedError

    def part(self, prepared: Any, rows: slice, columns: slice) -> Tensor:
        """Make a rectangle of the middle frame, as it is in the whole, not clipped."""
        raise NotImplementedError

    def for_inference(self) -> Network:
        """A copy that is ready to make frames: its weights may be converted, but not trained on."""
        return copy.deepcopy(self).eval().requires_grad_(False)
