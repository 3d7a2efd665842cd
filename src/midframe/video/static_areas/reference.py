"""Detection of static areas by NumPy and PyTorch."""

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.media.pictures.images import Array

BLOCK = 4
"""Side in pixels of the blocks."""
MOTION_RAMP = (0.1, 0.2)
"""Motion in pixels: up to the first value both frames are blended, above the second the
interpolated frame is shown."""
ERROR_RAMP = (0.5, 1.0)
"""The same for the difference of the interpolated frame from the blend, divided by the contrast."""
STEPS, WEIGHT_STEPS = 8, 6
"""Bits of the fixed-point weights with which both frames are blended, and the blend is mixed with
the interpolated frame."""
FLAT, FLAT_ERROR = 0.02, 4.0
"""Added to the contrast before the change and the error are divided by it, for flat areas; in codes
of 8 bits."""


def keep_static(interpolated: Array, before: Array, after: Array, t: Fraction, bits: int) -> Array:
    """See `midframe.video.static_areas.keep_static`."""
    step = 1 << (bits - 8)
    contrast = _average_neighbours(_block_means(_contrast(before)))
    motion = _block_means(_difference(before, after)) / (contrast + FLAT * step)
    static = _ramp(motion, MOTION_RAMP)
    if not static.any():
        return interpolated
    blend = _blend(before, after, t)
    error = _average_neighbours(_block_means(_difference(interpolated, blend)))
    static *= _ramp(error / (contrast + FLAT_ERROR * step), ERROR_RAMP)
    return _mix(interpolated, blend, _weights(static, *interpolated.shape[:2]))


def _blend(before: Array, after: Array, t: Fraction) -> Array:
    """Blend two frames, the second with the weight `t`, rounded. In fixed point, which is
    faster."""
    second = round(t * 2**STEPS)
    wide = np.uint16 if before.dtype == np.uint8 else np.uint32
    blend: Array = before.astype(wide)
    blend *= 2**STEPS - second
    blend += after * wide(second)
    blend += 2**STEPS // 2
    blend >>= STEPS
    return blend.astype(before.dtype)


def _mix(interpolated: Array, blend: Array, weights: Array) -> Array:
    """Mix two arrays by weights of the blend, (h, w) integers up to 2**WEIGHT_STEPS, rounded."""
    wide = np.int16 if interpolated.dtype == np.uint8 else np.int32
    change: Array = blend.astype(wide)
    change -= interpolated
    change *= weights.reshape(*weights.shape, *[1] * (interpolated.ndim - 2))
    change += 2**WEIGHT_STEPS // 2
    change >>= WEIGHT_STEPS
    change += interpolated
    return change.astype(interpolated.dtype)


def _weights(static: Tensor, height: int, width: int) -> Array:
    """Return how static each pixel is, from 0 to 2**WEIGHT_STEPS, interpolated between blocks."""
    halves = functional.interpolate(static[None, None], scale_factor=2, mode="bilinear")[0, 0]
    weights = halves.mul_(2**WEIGHT_STEPS).round_().to(torch.uint8).numpy()
    for axis in (1, 0):  # rows last, which are copied as a whole
        weights = weights.repeat(BLOCK // 2, axis)
    return weights[:height, :width]


def _difference(first: Array, second: Array) -> Array:
    """Return the absolute differences of two arrays of integers."""
    difference: Array = np.maximum(first, second) - np.minimum(first, second)
    return difference


def _contrast(samples: Array) -> Array:
    """Return the larger of the absolute differences of neighbouring samples along a row and along a
    column."""
    result = np.zeros_like(samples)
    result[:, 1:] = _difference(samples[:, 1:], samples[:, :-1])
    np.maximum(result[1:], _difference(samples[1:], samples[:-1]), out=result[1:])
    return result


def _block_means(values: Array) -> Tensor:
    """Return the means over blocks of `BLOCK` pixels; blocks at the edges are padded with the
    outermost pixels."""
    edges = [(0, -size % BLOCK) for size in values.shape[:2]] + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, edges, mode="edge") if any(more for _, more in edges) else values
    rows = padded.reshape(-1, BLOCK, *padded.shape[1:]).sum(axis=1, dtype=np.uint32)
    sums = rows[:, ::BLOCK].copy()
    for place in range(1, BLOCK):
        sums += rows[:, place::BLOCK]
    colours = sums.reshape(*sums.shape[:2], -1)
    return torch.from_numpy(colours.sum(axis=2, dtype=np.float32)).div_(BLOCK**2 * colours.shape[2])


def _average_neighbours(blocks: Tensor) -> Tensor:
    """Return the means over each block and the eight around it."""
    return functional.avg_pool2d(
        blocks[None, None], 3, stride=1, padding=1, count_include_pad=False
    )[0, 0]


def _ramp(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return weights that decrease linearly from 1 at the lower bound to 0 at the upper bound."""
    return ((bounds[1] - values) / (bounds[1] - bounds[0])).clamp(0, 1)
