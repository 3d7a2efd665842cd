"""Conversion between planes of luma and chroma and RGB tensors, in both directions.

Chroma is upsampled such that the mean over the pixels of a chroma sample is its value, and
downsampled by that mean: an unchanged frame is restored exactly.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from midframe.media.colour.conversion import Colour
from midframe.media.pictures.images import Array
from midframe.ops.dispatch import for_device
from midframe.video.rgb_planes import reference


def planes_to_rgb(
    planes: Sequence[Array], bits: int, colour: Colour, device: torch.device | str = "cpu"
) -> Tensor:
    """Convert planes to RGB on a device, to which only the samples are copied.

    Args:
        planes: luma, both chromas if the picture has colours, and alpha if `colour` has it, (h, w)
            integers each.
        bits: of a sample.
        colour: how the samples represent colours.
        device: of the result.

    Returns:
        (1, 3, H, W), or (1, 4, H, W) with alpha, float32 with white = 1, not clipped; the colours
        of a pixel are adjacent in memory.
    """
    device = torch.device(device)
    image: Tensor = _implementation(device, planes).planes_to_rgb(planes, bits, colour, device)
    return image


def rgb_to_planes(
    image: Tensor,
    like: Sequence[Array],
    bits: int,
    colour: Colour,
    limits: Sequence[tuple[int, int]],
) -> list[Array]:
    """Invert `planes_to_rgb`; the samples are rounded.

    Args:
        image: (1, C, H, W), as `planes_to_rgb` returns it.
        like: planes of the sizes and the type of the result.
        bits: of a sample.
        colour: how the samples represent colours.
        limits: the range of codes in each plane, to which the samples are clipped.
    """
    convert = _implementation(image.device, like).rgb_to_planes
    planes: list[Array] = convert(image, like, bits, colour, limits)
    return planes


def load_halide() -> Any:
    """Import the CPU implementation."""
    import midframe.video.rgb_planes.halide as halide

    return halide


def _implementation(device: torch.device, planes: Sequence[Array]) -> Any:
    """Return the module that converts such planes on a device."""
    fast = for_device({"cpu": load_halide}, device)
    return fast if fast is not None and fast.supports(planes) else reference
