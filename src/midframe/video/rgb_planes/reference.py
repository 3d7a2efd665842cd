"""Conversion between planes and RGB by PyTorch, on any device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midframe.media.colour.conversion import Colour, code_ranges
from midframe.media.pictures.images import Array
from midframe.transfers import download, upload
from midframe.video.rgb_planes.chroma import downsample_to, upsample_to
from midframe.video.rgb_planes.matrices import chroma_weights, rgb_to_planes_matrix

ALPHA = 3
"""Index of alpha among planes and colours."""


def planes_to_rgb(
    planes: Sequence[Array], bits: int, colour: Colour, device: torch.device
) -> Tensor:
    """See `midframe.video.rgb_planes.planes_to_rgb`."""
    height, width = planes[0].shape
    zeros, spans = code_ranges(bits, colour)
    values = [
        upload(torch.from_numpy(plane), device).float().sub_(float(zero)).mul_(float(1 / span))
        for plane, zero, span in zip(planes, zeros, spans, strict=False)
    ]
    luma, others = values[0], values[1:]
    result = torch.empty(height, width, 3 + colour.alpha, device=device)
    if colour.alpha:
        result[..., ALPHA] = others.pop()
    if others:
        blue, red = (upsample_to(plane, height, width) for plane in others)
        for number, (of_blue, of_red) in enumerate(chroma_weights(colour)):
            with_blue = torch.add(luma, blue, alpha=of_blue)
            torch.add(with_blue, red, alpha=of_red, out=result[..., number])
    else:
        result[..., :3] = luma[..., None]
    return result.permute(2, 0, 1)[None]


def rgb_to_planes(
    image: Tensor,
    like: Sequence[Array],
    bits: int,
    colour: Colour,
    limits: Sequence[tuple[int, int]],
) -> list[Array]:
    """See `midframe.video.rgb_planes.rgb_to_planes`."""
    pixels = image[0].permute(1, 2, 0)
    matrix = rgb_to_planes_matrix(colour)
    ranges = zip(*code_ranges(bits, colour), limits, strict=False)
    planes: list[Array] = []
    for number, (plane, (zero, span, limit)) in enumerate(zip(like, ranges, strict=False)):
        if number == ALPHA:
            values = image[0, ALPHA]
        else:
            pixels = downsample_to(pixels, *plane.shape)  # once for both chromas
            values = _sum_colours(pixels, matrix[number])
        planes.append(to_codes(values, float(zero), float(span), limit, plane.dtype))
    return planes


def to_codes(
    values: Tensor, zero: float, span: float, limit: tuple[int, int], dtype: np.dtype[Any]
) -> Array:
    """Convert the values of a plane to codes of an integer type.

    Args:
        values: (h, w).
        zero: the code of 0.
        span: number of codes from 0 to 1.
        limit: the range of codes.
        dtype: of the result.
    """
    codes = (values * span).add_(zero).round_().clamp_(*limit)
    result: Array = download(codes.to(getattr(torch, dtype.name))).numpy()
    return result


def _sum_colours(image: Tensor, weights: Array) -> Tensor:
    red = image[..., 0]
    green = image[..., 1]
    blue = image[..., 2]
    weighted: Tensor = (red * weights[0]).add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])
    return weighted
