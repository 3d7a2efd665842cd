"""Detection of static areas in a plane, as two Halide pipelines: one before the interpolated frame
is read, which often finds no static area, and one after.

With the samples b, a and m of the frames before and after and of the interpolated one, for each
block of 4x4 samples:

    contrast = mean over the 3x3 blocks around it of max(|db/dx|, |db/dy|)
    motion = mean of |a - b| / (contrast + FLAT)
    error = mean over the 3x3 blocks around it of |m - blend| / (contrast + FLAT_ERROR)
    static = ramp(motion) * ramp(error)

and for each sample, with `static` upsampled to 2x2 samples as weight:

    result = m + weight * (blend - m)
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import halide as hl
import numpy as np

from midframe.media.pictures.images import Array
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    cached_pipeline,
    in_one_loop,
    lerp,
    upsampling_source,
)
from midframe.video.static_areas.reference import (
    BLOCK,
    ERROR_RAMP,
    FLAT,
    FLAT_ERROR,
    MOTION_RAMP,
    STEPS,
    WEIGHT_STEPS,
)

HALF_BLOCK = BLOCK // 2
"""Side in pixels of the areas with one weight."""

x = hl.Var("x")
y = hl.Var("y")
k = hl.Var("k")
pair = hl.Var("pair")
lane = hl.Var("lane")
GUARDED = hl.TailStrategy.GuardWithIf


def keep_static(interpolated: Array, before: Array, after: Array, t: Fraction, bits: int) -> Array:
    """See `midframe.video.static_areas.keep_static`; for planes (h, w)."""
    height, width = before.shape
    step = float(1 << (bits - 8))
    blocks = np.empty((2, -(-height // BLOCK), -(-width // BLOCK)), np.float32)
    first, second = hl.Buffer(before), hl.Buffer(after)
    _motion_pipeline(before.itemsize)(first, second, step, hl.Buffer(blocks))
    if not blocks[0].any():
        return interpolated
    result = np.empty_like(interpolated, order="C")
    weight = round(t * 2**STEPS)
    run = _mixing_pipeline(before.itemsize)
    run(hl.Buffer(interpolated), first, second, hl.Buffer(blocks), weight, step, hl.Buffer(result))
    return result


@cached_pipeline
def _motion_pipeline(sample_bytes: int) -> Pipeline:
    """Build the pipeline from the frames before and after to ramp(motion) and the contrast of
    blocks."""
    before = hl.ImageParam(hl.UInt(8 * sample_bytes), 2, "before")
    after = hl.ImageParam(hl.UInt(8 * sample_bytes), 2, "after")
    step = hl.Param(hl.Float(32), "step")

    def contrast(column: Any, row: Any) -> Any:
        sample = before[column, row]
        left = before[hl.max(column - 1, 0), row]
        above = before[column, hl.max(row - 1, 0)]
        return hl.max(hl.absd(sample, left), hl.absd(sample, above))

    contrasts = _BlockMeans("contrast", before, contrast)
    changes = _BlockMeans(
        "change", before, lambda column, row: hl.absd(before[column, row], after[column, row])
    )
    smooth = contrasts.average_neighbours()
    motion = changes.means[x, y] / (smooth + hl.f32(FLAT) * step)
    result = hl.Func("blocks")
    result[x, y, k] = hl.mux(k, [_ramp(motion, MOTION_RAMP), smooth])
    result.bound(k, 0, 2).reorder(k, x, y).unroll(k).vectorize(x, LANES, GUARDED)
    in_one_loop(result)
    return Pipeline(result, before, after, step)


@cached_pipeline
def _mixing_pipeline(sample_bytes: int) -> Pipeline:
    """Build the pipeline from the frames and the blocks of `_motion_pipeline` to the result."""
    sample, wide, signed = (
        (hl.UInt(8), hl.UInt(16), hl.Int(16))
        if sample_bytes == 1
        else (hl.UInt(16), hl.UInt(32), hl.Int(32))
    )
    interpolated = hl.ImageParam(sample, 2, "interpolated")
    before = hl.ImageParam(sample, 2, "before")
    after = hl.ImageParam(sample, 2, "after")
    blocks = hl.ImageParam(hl.Float(32), 3, "blocks")
    second = hl.Param(hl.Int(32), "second")  # the weight of the frame after
    step = hl.Param(hl.Float(32), "step")

    def blend(column: Any, row: Any) -> Any:
        weighted = hl.cast(wide, before[column, row]) * hl.cast(wide, 2**STEPS - second)
        weighted += hl.cast(wide, after[column, row]) * hl.cast(wide, second)
        return hl.cast(sample, (weighted + hl.cast(wide, 2**STEPS // 2)) >> STEPS)

    errors = _BlockMeans(
        "error",
        interpolated,
        lambda column, row: hl.absd(interpolated[column, row], blend(column, row)),
    )
    static = hl.Func("static")
    error = errors.average_neighbours() / (blocks[x, y, 1] + hl.f32(FLAT_ERROR) * step)
    static[x, y] = blocks[x, y, 0] * _ramp(error, ERROR_RAMP)

    padded = hl.Func("padded")
    last_column, last_row = blocks.width() - 1, blocks.height() - 1
    padded[x, y] = static[hl.clamp(x, 0, last_column), hl.clamp(y, 0, last_row)]
    between_rows = hl.Func("between_rows")
    weights = hl.Func("weights")  # of squares of half a block
    between_rows[x, y] = _upsample(lambda row: padded[x, row], y)
    weight = _upsample(lambda column: between_rows[column, y], x)
    weights[x, y] = hl.cast(signed, hl.round(weight * float(2**WEIGHT_STEPS)))
    row_weights = hl.Func("row_weights")
    row_weights[x, y] = weights[x // HALF_BLOCK, y // HALF_BLOCK]

    result = hl.Func("mixed")
    own = hl.cast(signed, interpolated[x, y])
    change = (hl.cast(signed, blend(x, y)) - own) * row_weights[x, y]
    result[x, y] = hl.cast(
        sample, own + ((change + hl.cast(signed, 2**WEIGHT_STEPS // 2)) >> WEIGHT_STEPS)
    )

    # Blocks and weights are computed for the whole plane first, a sixteenth and a quarter of the
    # samples. Then a task is a row; each weight is repeated for two samples.
    static.compute_root().vectorize(x, LANES, GUARDED)
    padded.compute_root().vectorize(x, LANES, GUARDED)
    between_rows.compute_at(weights, y).vectorize(x, LANES, GUARDED)
    weights.compute_root().split(x, pair, lane, 2).reorder(lane, pair, y).unroll(lane)
    weights.vectorize(pair, LANES, GUARDED)
    result.parallel(y).vectorize(x, LANES, GUARDED)
    row_weights.compute_at(result, y).align_bounds(x, HALF_BLOCK)
    row_weights.split(x, pair, lane, HALF_BLOCK).reorder(lane, pair, y).unroll(lane)
    row_weights.vectorize(pair, LANES, GUARDED)
    in_one_loop(static, padded, between_rows, weights, row_weights, result)
    return Pipeline(result, interpolated, before, after, blocks, second, step)


class _BlockMeans:
    """Means over the blocks of an image; blocks at the edges are padded with the outermost pixels.

    Args:
        name: of the values.
        image: whose size the values have.
        value: the value at a column and a row.
    """

    def __init__(self, name: str, image: hl.ImageParam, value: Callable[[Any, Any], Any]) -> None:
        self.columns = -(-image.width() // BLOCK)
        self.rows = -(-image.height() // BLOCK)
        wide = hl.UInt(2 * image.type().bits())
        sums = hl.Func(f"{name}_sums")  # of the rows of a block
        self.means = hl.Func(f"{name}_means")  # 0 outside of the image
        line = hl.RDom([hl.Range(0, BLOCK)], "line")
        row = hl.clamp(y * BLOCK + line.x, 0, image.height() - 1)
        sums[x, y] = hl.cast(wide, 0)
        sums[x, y] += hl.cast(wide, value(x, row))
        places = [hl.clamp(x * BLOCK + place, 0, image.width() - 1) for place in range(BLOCK)]
        total = hl.cast(hl.Float(32), sum(sums[place, y] for place in places))
        inside = (x >= 0) & (x < self.columns) & (y >= 0) & (y < self.rows)
        self.means[x, y] = hl.select(inside, total * (1.0 / BLOCK**2), 0.0)

        # A task is a row of blocks: first the sums of whole rows, where samples are contiguous.
        # Only `value` may read before the first column, so only its loop is partitioned.
        self.means.compute_root().parallel(y)
        sums.compute_at(self.means, y).vectorize(x, LANES, GUARDED)
        sums.update(0).reorder(x, line.x, y).vectorize(x, LANES, GUARDED)
        sums.update(0).never_partition([y, line.x])
        in_one_loop(self.means)

    def average_neighbours(self) -> Any:
        """Return the mean over a block and the up to eight around it."""
        near = (-1, 0, 1)
        total = sum(self.means[x + across, y + down] for down in near for across in near)
        count = _extent(x, self.columns) * _extent(y, self.rows)
        return total / hl.cast(hl.Float(32), count)


def _extent(position: Any, size: Any) -> Any:
    """Return how many of a block and its two neighbours along an axis exist."""
    before = hl.cast(hl.Int(32), position > 0)
    after = hl.cast(hl.Int(32), position < size - 1)
    return 1 + before + after


def _ramp(value: Any, bounds: tuple[float, float]) -> Any:
    """Return a weight that decreases linearly from 1 at the lower bound to 0 at the upper bound."""
    return hl.clamp((hl.f32(bounds[1]) - value) / hl.f32(bounds[1] - bounds[0]), 0.0, 1.0)


def _upsample(value: Callable[[Any], Any], position: Any) -> Any:
    """Interpolate linearly along an axis, at the position of a half of a block."""
    index, distance = upsampling_source(position, 2)
    return lerp(value(index), value(index + 1), distance)
