"""Mean differences of frames in square blocks of pixels, of the colour that differs most.

Every second pixel of every second row is read: enough for such means.
"""

from typing import Any

from torch import Tensor

from midframe.ops.dispatch import for_device
from midframe.video.block_differences import reference


def change(before: Tensor, after: Tensor, block: int) -> Tensor:
    """Return the mean absolute difference of two frames in each block.

    Args:
        before, after: (1, 3, H, W), or (1, 4, H, W) with alpha, which is not compared.
        block: side of the blocks in pixels, an even number.

    Returns:
        (rows, columns) of blocks, on the CPU.
    """
    return blend_error(before, after, after, 0, block)


def blend_error(image: Tensor, before: Tensor, after: Tensor, t: float, block: int) -> Tensor:
    """Return the mean absolute difference of a frame from the blend of two others in each block.

    Args:
        image, before, after: as in `change`.
        t: the weight of the frame after, from 0 to 1.
        block: as in `change`.

    Returns:
        (rows, columns) of blocks, on the CPU.
    """
    fast = for_device({"cpu": load_halide}, image.device)
    result: Tensor = (fast or reference).blend_error(image, before, after, t, block)
    return result


def load_halide() -> Any:
    """Import the CPU implementation."""
    import midframe.video.block_differences.halide as halide

    return halide
