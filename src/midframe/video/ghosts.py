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
    first = _subsample(before)
    second = _subsample(after)
    change = _block_differences(first, second, block)
    objects = change >= MIN_OBJECT_CHANGE
    if min(change.shape) < 2 or not objects.any():
        return image
    changed = change >= MIN_CHANGE
    areas = _small_areas(changed)
    areas *= _fraction_around(changed) <= MAX_CHANGED_AROUND
    if not areas[objects].any():
        return image
    error = _block_differences(_subsample(image), torch.lerp(first, second, float(t)), block)
    ghosts = _blended_areas(objects & (error <= MAX_ERROR * change), areas)
    if not ghosts.any():
        return image
    # an object that leaves one area appears in another one, perhaps less clearly blended
    ghosts |= _areas_containing(objects & _dilate(ghosts.float(), NEIGHBOURHOOD).bool(), areas)
    weights = _weights(ghosts, block, *image.shape[2:]).to(image.device)
    return torch.lerp(image, before if t <= Fraction(1, 2) else after, weights)


def _subsample(image: Tensor) -> Tensor:
    """Return every second pixel of every second row without alpha, (h, w, 3): enough for block
    means, and four times as fast."""
    return image[0, :3, ::2, ::2].permute(1, 2, 0)


def _block_differences(first: Tensor, second: Tensor, block: int) -> Tensor:
    """Return the mean absolute difference in each block, of the colour that differs most, on the
    CPU.

    Args:
        first, second: from `_subsample`.
        block: side of the blocks in pixels of the frame.
    """
    largest = (first - second).abs_().amax(dim=2)[None, None]
    return functional.avg_pool2d(largest, block // 2, ceil_mode=True)[0, 0].cpu()


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


def _weights(blocks: Tensor, block: int, height: int, width: int) -> Tensor:
    """Return the weights of the nearest frame, (height, width) from 0 to 1: 1 on the blocks and
    their neighbours, with a soft edge."""
    size = (block * blocks.shape[0], block * blocks.shape[1])
    dilated = _dilate(blocks.float())[None, None]
    weights = functional.interpolate(dilated, size=size, mode="bilinear")[0, 0]
    return weights[:height, :width]


def _dilate(values: Tensor, reach: int = 1) -> Tensor:
    """Return the maximum over the blocks within `reach` of each block, along both axes."""
    return functional.max_pool2d(values[None, None], 2 * reach + 1, stride=1, padding=reach)[0, 0]
