"""The comparison of both frames on the CPU, which the pipelines of flow propagation share.

For each pixel (x, y) and candidate k, with a displacement to each frame, both standardised:

    total[k, y, x] = sum_c |first[c, displaced] - second[c, displaced]|
    box[k, y, x] = sum of total[k] over a window around (x, y), 0 outside of the image
"""

from collections.abc import Callable
from typing import Any

import halide as hl
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps.propagation.comparison import WINDOW_RADIUS
from midframe.ops.halide_tools import LANES, fetch_bilinear

QUAD = 4
"""Channels are padded with zeros up to a multiple: a register holds all of a pixel."""
GUARDED = hl.TailStrategy.GuardWithIf

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
k = hl.Var("k")
"""Index of a candidate."""
n = hl.Var("n")
i = hl.Var("i")
"""Index of a frame."""
task = hl.Var("task")


class Comparison:
    """The functions that compare both frames for every candidate.

    Args:
        displacement: of pixel (x, y) for candidate k in frame i of sample n, along x and along y,
            as expressions of these variables.
        width, height: of the frames.
        channels: of the frames, a multiple of `QUAD`.
    """

    def __init__(
        self, displacement: tuple[Any, Any], width: Any, height: Any, channels: int
    ) -> None:
        self.frames = [hl.ImageParam(hl.Float(32), 4, name) for name in ("first", "second")]
        """(C, x, y, n)."""
        self.size = width, height
        self.channel = hl.RDom([(0, channels)], "channel")
        self.position = hl.Func("position")
        """In frame i: the whole pixel before the position, and the fraction beyond it."""
        right, down = displacement
        left, fraction_x = split_position(x + right, width)
        top, fraction_y = split_position(y + down, height)
        self.position[x, i, k, y, n] = (left, top, fraction_x, fraction_y)
        self._sum_channels()
        self._sum_windows()

    def _sum_channels(self) -> None:
        absolute = hl.Func("absolute")
        self.summed = hl.Func("summed")
        self.total = hl.Func("total")
        absolute[c, x, k, y, n] = hl.abs(self._displaced(0) - self._displaced(1))
        self.summed[x, k, y, n] = 0.0
        self.summed[x, k, y, n] += absolute[self.channel.x, x, k, y, n]
        # Not `summed` itself: Halide would use atomics for additions from parallel rows.
        self.total[x, k, y, n] = self.summed[x, k, y, n]

    def _displaced(self, frame: int) -> Any:
        """Return channel c of a frame at its position."""
        width, height = self.size
        source = self.position[x, frame, k, y, n]
        left, top, fraction_x, fraction_y = (source[component] for component in range(4))
        across = (left, hl.min(left + 1, width - 1), fraction_x)
        down = (top, hl.min(top + 1, height - 1), fraction_y)
        return fetch_bilinear(self.frames[frame], c, n, across, down, bf16=False)

    def _sum_windows(self) -> None:
        width, height = self.size
        padded = hl.Func("padded")
        self.column = hl.Func("column")
        self.box = hl.Func("box")
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        nearest = self.total[hl.clamp(x, 0, width - 1), k, hl.clamp(y, 0, height - 1), n]
        padded[x, k, y, n] = hl.select(inside, nearest, 0.0)
        self.column[x, k, y, n] = _sum_offsets(lambda offset: padded[x, k, y + offset, n])
        self.box[x, k, y, n] = _sum_offsets(lambda offset: self.column[x + offset, k, y, n])

    def schedule(self, result: hl.Func, row: hl.Var) -> None:
        """Schedule the comparison for a function that uses `box`, whose rows are `row`.

        A task is a row. Differences are computed once for the whole frame (`total`), since each is
        in 25 windows: first the positions of a row, vectorised over pixels, then the pixels one
        after another with all their channels in one register (`summed`). The window is summed
        vertically and then horizontally, with only a row of `column` stored.
        """
        self.column.compute_at(result, row).vectorize(x, LANES, GUARDED)
        self.total.compute_root().reorder(k, x, y, n).fuse(y, n, task).parallel(task)
        self.summed.compute_at(self.total, k).update(0).atomic().vectorize(self.channel.x)
        self.position.compute_at(self.total, task).bound(i, 0, 2).unroll(i)
        self.position.vectorize(x, LANES, GUARDED)


def pad_channels(frame: Tensor) -> Tensor:
    """Append channels of zeros to a frame (N, C, h, w) up to a multiple of `QUAD`."""
    return functional.pad(frame, (0, 0, 0, 0, 0, -frame.shape[1] % QUAD))


def _sum_offsets(value: Callable[[int], Any]) -> Any:
    """Return the sum of the values at the offsets of a window along one axis."""
    return sum(map(value, range(-WINDOW_RADIUS, WINDOW_RADIUS + 1)), hl.f32(0))


def split_position(position: Any, size: Any) -> tuple[Any, Any]:
    """Return the whole pixel before a position, clamped to the image, and the fraction beyond
    it."""
    inside = hl.clamp(position, 0.0, hl.cast(hl.Float(32), size - 1))
    before = hl.clamp(hl.cast(hl.Int(32), inside), 0, size - 1)  # NaN must not address memory
    return before, inside - hl.cast(hl.Float(32), before)
