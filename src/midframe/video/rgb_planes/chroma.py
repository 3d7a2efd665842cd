"""Upsampling and downsampling of chroma planes.

The mean over the pixels of a chroma sample is the value of the sample, so downsampling inverts
upsampling.
"""

import torch
from torch import Tensor


def upsample_to(plane: Tensor, height: int, width: int) -> Tensor:
    """Upsample a plane by 1, 2 or 4 along each axis; its size is the result's divided by that,
    rounded up."""
    for axis, size in enumerate((height, width)):
        for step in (-(-size // 2), size):
            if plane.shape[axis] < step:
                plane = _upsample_by_2(plane, axis, step)
    return plane


def _upsample_by_2(plane: Tensor, axis: int, size: int) -> Tensor:
    """Upsample by 2 along an axis: two values per sample, on the slope between its neighbours, with
    the sample as their mean."""
    last = plane.shape[axis] - 1
    before = torch.cat((plane.narrow(axis, 0, 1), plane.narrow(axis, 0, last)), axis)
    after = torch.cat((plane.narrow(axis, 1, last), plane.narrow(axis, last, 1)), axis)
    step = after.sub_(before).mul_(1 / 8)
    if size % 2:
        step.narrow(axis, last, 1).zero_()  # the last sample has only one pixel
    result = plane.new_empty(*plane.shape[:axis], 2 * (last + 1), *plane.shape[axis + 1 :])
    pairs = result.view(*plane.shape[: axis + 1], 2, *plane.shape[axis + 1 :])
    torch.sub(plane, step, out=pairs.select(axis + 1, 0))
    torch.add(plane, step, out=pairs.select(axis + 1, 1))
    return result.narrow(axis, 0, size)


def downsample_to(image: Tensor, height: int, width: int) -> Tensor:
    """Invert `upsample_to`, for (H, W) or (H, W, C), by averaging pairs of values."""
    for axis, size in enumerate((height, width)):
        while (length := image.shape[axis]) > size:
            if length % 2:
                image = torch.cat((image, image.narrow(axis, length - 1, 1)), axis)
            pairs = image.view(*image.shape[:axis], -1, 2, *image.shape[axis + 1 :])
            image = (pairs.select(axis + 1, 0) + pairs.select(axis + 1, 1)).mul_(0.5)
    return image
