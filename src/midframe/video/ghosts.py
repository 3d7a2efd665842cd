"""Ghosts: small fast objects that a network shows twice, each time half transparent.

A network that does not find the motion of a thrown ball blends both frames there. Between source
frames that show the ball whole, this flickers. So the nearest frame is shown in such places: the
ball then moves at the frame rate of the source, but does not fade.

A place is a ghost if both frames differ in a small area, nothing around it changes, and the
interpolated frame there is the blend of both. In a large area a blend is no sign of failure:
fades, reflections and slow soft edges look the same.
"""

from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

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
    change = block_differences.change(before, after, block)
    objects = change >= MIN_OBJECT_CHANGE
    if min(change.shape) < 2 or not objects.any():
        return image
    changed = change >= MIN_CHANGE
    areas = _small_areas(changed)
    areas *= _fraction_around(changed) <= MAX_CHANGED_AROUND
    if not areas[objects].any():
        return image
    error = block_differences.blend_error(image, before, after, float(t), block)
    ghosts = _blended_areas(objects & (error <= MAX_ERROR * change), areas)
    if not ghosts.any():
        return image
    # an object that leaves one area appears in another one, perhaps less clearly blended
    ghosts |= _areas_containing(objects & _dilate(ghosts.float(), NEIGHBOURHOOD).bool(), areas)
    return _mix(image, before if t <= Fraction(1, 2) else after, ghosts, block)


def _small_areas(changed: Tensor) -> Tensor:
    """Number the connected areas of blocks that are small.

    Returns:
        (rows, columns) integers: the number of the area, 0 for blocks in none.
    """
    numbers = torch.arange(1, changed.numel() + 1).reshape(changed.shape).float() * changed
    # the largest number in an area spreads over the area, by one block per step
    for _ in range(MAX_EXTENT):
        numbers = _dilate(numbers) * changed
    spreading = numbers[(_dilate(numbers) != numbers) & changed]  # of areas beyond `MAX_EXTENT`
    sizes = torch.bincount(numbers.long().flatten(), minlength=changed.numel() + 1)
    large = sizes > MAX_AREA * changed.numel()
    large[spreading.long()] = True
    large[0] = True
    found = numbers.long()
    return found.where(~large[found], 0)


def _fraction_around(blocks: Tensor) -> Tensor:
    """Return the fraction of the neighbourhood of each block that is in `blocks`."""
    fraction = blocks.float()[None, None]
    for along in ((1, 0), (0, 1)):  # one axis after the other, which is faster
        kernel = tuple(2 * NEIGHBOURHOOD * each + 1 for each in along)
        padding = tuple(NEIGHBOURHOOD * each for each in along)
        fraction = functional.avg_pool2d(fraction, kernel, 1, padding, count_include_pad=False)
    return fraction[0, 0]


def _blended_areas(blended: Tensor, areas: Tensor) -> Tensor:
    """Return the blocks of areas that have at least the fraction `MIN_BLENDED` of blended blocks,
    among them a square of 2x2."""
    size = int(areas.max()) + 1
    blocks = torch.bincount(areas.flatten(), minlength=size)
    matching = torch.bincount(areas[blended], minlength=size)
    squares = -functional.max_pool2d(-blended.float()[None, None], 2, stride=1)[0, 0] > 0
    has_square = torch.zeros(size, dtype=torch.bool)
    has_square[areas[:-1, :-1][squares]] = True
    chosen = has_square & (matching >= MIN_BLENDED * blocks)
    chosen[0] = False
    return chosen[areas]


def _areas_containing(blocks: Tensor, areas: Tensor) -> Tensor:
    """Return the blocks of areas that contain any of the given blocks."""
    chosen = torch.zeros(int(areas.max()) + 1, dtype=torch.bool)
    chosen[areas[blocks]] = True
    chosen[0] = False
    return chosen[areas]


def _mix(image: Tensor, nearest: Tensor, blocks: Tensor, block: int) -> Tensor:
    """Replace a frame by the nearest one on blocks and their neighbours, with a soft edge; only the
    rectangle around them is computed.

    Args:
        image, nearest: (1, C, H, W).
        blocks: (rows, columns), true for those to replace.
        block: their side in pixels.
    """
    replaced = _dilate(blocks.float())
    down, across = (_span(replaced.amax(dim=axis)) for axis in (1, 0))
    weights = functional.interpolate(
        replaced[None, None, down, across], scale_factor=block, mode="bilinear"
    )[0, 0]
    rows, columns = (slice(block * each.start, block * each.stop) for each in (down, across))
    result = image.clone()
    part = result[..., rows, columns]  # at the edges of the frame it is smaller than the weights
    weights = weights[: part.shape[2], : part.shape[3]].to(image.device)
    part.lerp_(nearest[..., rows, columns], weights)
    return result


def _span(values: Tensor) -> slice:
    """Return the range of the values above 0, and one more on each side."""
    found = values.nonzero()
    return slice(max(0, int(found[0]) - 1), int(found[-1]) + 2)


def _dilate(values: Tensor, reach: int = 1) -> Tensor:
    """Return the maximum over the blocks within `reach` of each block, along both axes."""
    for axis in (0, 1):
        result = values.clone()
        for distance in range(1, reach + 1):
            size = values.shape[axis] - distance
            if size > 0:
                _raise(result.narrow(axis, 0, size), values.narrow(axis, distance, size))
                _raise(result.narrow(axis, distance, size), values.narrow(axis, 0, size))
        values = result
    return values


def _raise(values: Tensor, others: Tensor) -> None:
    """Replace values by larger others, in place."""
    torch.maximum(values, others, out=values)
