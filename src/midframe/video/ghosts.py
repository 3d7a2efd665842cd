"""Ghosts: small fast objects that a network shows twice, each time half transparent.

A network that does not find the motion of a thrown ball blends both frames there. Between source
frames that show the ball whole, this flickers. So the nearest frame is shown in such places: the
ball then moves at the frame rate of the source, but does not fade.

A place is a ghost if both frames differ in a small area, nothing around it changes, and the
interpolated frame there is the blend of both. In a large area a blend is no sign of failure:
fades, reflections and slow soft edges look the same.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.media.pictures.images import Array
from midframe.video import block_differences

ROWS_OF_BLOCKS = 90
"""Differences are averaged over square blocks, this many along the height of a frame."""
MIN_CHANGE = 6 / 255
"""Minimum mean difference of both frames in a block of a changed area, of the colour that differs
most, for white = 1."""
MIN_OBJECT_CHANGE = 24 / 255
"""The same for a block that shows the object."""
MAX_ERROR = 0.25
"""A block is blended if the interpolated frame differs from the blend of both frames by at most
this fraction of the difference of both frames."""
MIN_BLENDED = 0.3
"""Minimum fraction of blended blocks in a changed area."""
MAX_AREA = 0.01
"""Maximum size of a changed area, as a fraction of the frame."""
MAX_EXTENT = 24
"""Maximum extent of a changed area, in blocks."""
NEIGHBOURHOOD = 10
"""Distance in blocks. Other small areas this near to a ghost belong to the same object."""
MAX_CHANGED_AROUND = 0.4
"""Maximum fraction of changed blocks in the neighbourhood."""


def replace_ghosts(image: Tensor, before: Tensor, after: Tensor, t: Fraction) -> Tensor:
    """Replace ghosts in an interpolated frame by the nearest frame.

    Args:
        image, before, after: the interpolated frame and the frames around it, (1, 3, H, W), or
            (1, 4, H, W) with alpha, float32 RGB with white = 1, on one device.
        t: the time of the interpolated frame, from 0 to 1.
    """
    block = 2 * max(1, round(image.shape[2] / ROWS_OF_BLOCKS / 2))
    change = block_differences.change(before, after, block).numpy()
    objects = change >= MIN_OBJECT_CHANGE
    if min(change.shape) < 2 or not objects.any():
        return image
    changed = change >= MIN_CHANGE
    areas = _small_areas(changed)
    areas *= _fraction_around(changed) <= MAX_CHANGED_AROUND
    if not areas[objects].any():
        return image
    error = block_differences.blend_error(image, before, after, float(t), block).numpy()
    ghosts = _blended_areas(objects & (error <= MAX_ERROR * change), areas)
    if not ghosts.any():
        return image
    # an object that leaves one area appears in another one, perhaps less clearly blended
    ghosts |= _areas_containing(objects & _dilate(ghosts, NEIGHBOURHOOD), areas)
    return _mix(image, before if t <= Fraction(1, 2) else after, ghosts, block)


def _small_areas(changed: Array) -> Array:
    """Number the connected areas of blocks that are small.

    Returns:
        (rows, columns) integers: the number of the area, 0 for blocks in none.
    """
    numbers = np.arange(1, changed.size + 1, dtype=np.int32).reshape(changed.shape) * changed
    # the largest number in an area spreads over the area, by one block per step
    for _ in range(MAX_EXTENT):
        before, numbers = numbers, _dilate(numbers) * changed
        if np.array_equal(before, numbers):
            break
    spreading = numbers[(_dilate(numbers) != numbers) & changed]  # of areas beyond `MAX_EXTENT`
    large = np.bincount(numbers.ravel(), minlength=changed.size + 1) > MAX_AREA * changed.size
    large[spreading] = True
    large[0] = True
    return np.where(large[numbers], 0, numbers)


def _fraction_around(blocks: Array) -> Array:
    """Return the fraction of the neighbourhood of each block that is in `blocks`."""
    found, size = blocks.astype(np.int32), np.ones((1, 1), np.int32)
    for axis in (0, 1):
        places = np.arange(blocks.shape[axis])
        begins = np.maximum(places - NEIGHBOURHOOD, 0)
        ends = np.minimum(places + NEIGHBOURHOOD + 1, len(places))
        before = np.pad(found.cumsum(axis), [(int(axis == each), 0) for each in (0, 1)])
        found = before.take(ends, axis) - before.take(begins, axis)
        size = size * np.expand_dims(ends - begins, 1 - axis)
    return found / size


def _blended_areas(blended: Array, areas: Array) -> Array:
    """Return the blocks of areas that have at least the fraction `MIN_BLENDED` of blended blocks,
    among them a square of 2x2."""
    size = int(areas.max()) + 1
    blocks = np.bincount(areas.ravel(), minlength=size)
    matching = np.bincount(areas[blended], minlength=size)
    squares = blended[:-1, :-1] & blended[1:, :-1] & blended[:-1, 1:] & blended[1:, 1:]
    has_square = np.zeros(size, bool)
    has_square[areas[:-1, :-1][squares]] = True
    chosen = has_square & (matching >= MIN_BLENDED * blocks)
    chosen[0] = False
    return chosen[areas]


def _areas_containing(blocks: Array, areas: Array) -> Array:
    """Return the blocks of areas that contain any of the given blocks."""
    chosen = np.zeros(int(areas.max()) + 1, bool)
    chosen[areas[blocks]] = True
    chosen[0] = False
    return chosen[areas]


def _dilate(values: Array, reach: int = 1) -> Array:
    """Return the maximum over the blocks within `reach` of each block, along both axes."""
    across = values.copy()
    for distance in range(1, reach + 1):
        np.maximum(across[:, :-distance], values[:, distance:], out=across[:, :-distance])
        np.maximum(across[:, distance:], values[:, :-distance], out=across[:, distance:])
    result = across.copy()
    for distance in range(1, reach + 1):
        np.maximum(result[:-distance], across[distance:], out=result[:-distance])
        np.maximum(result[distance:], across[:-distance], out=result[distance:])
    return result


def _mix(image: Tensor, nearest: Tensor, blocks: Array, block: int) -> Tensor:
    """Replace a frame by the nearest one on blocks and their neighbours, with a soft edge; only the
    rectangle around them is computed.

    Args:
        image, nearest: (1, C, H, W).
        blocks: (rows, columns), true for those to replace.
        block: their side in pixels.
    """
    replaced = _dilate(blocks)
    down, across = _span(replaced.any(axis=1)), _span(replaced.any(axis=0))
    here = torch.from_numpy(replaced[down, across]).float()
    weights = functional.interpolate(here[None, None], scale_factor=block, mode="bilinear")[0, 0]
    rows, columns = (slice(block * each.start, block * each.stop) for each in (down, across))
    result = image.clone()
    part = result[..., rows, columns]  # at the edges of the frame it is smaller than the weights
    weights = weights[: part.shape[2], : part.shape[3]].to(image.device)
    part.lerp_(nearest[..., rows, columns], weights)
    return result


def _span(chosen: Any) -> slice:
    """Return the range of the true values, and one more on each side."""
    found = np.flatnonzero(chosen)
    return slice(max(0, int(found[0]) - 1), int(found[-1]) + 2)
