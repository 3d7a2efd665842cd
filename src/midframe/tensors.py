"""Conversion of frames between arrays and float tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from midframe.media.pictures.picture import Array
from midframe.transfers import download, upload

TYPES = (np.uint8, np.uint16, np.float32)
"""Supported array types. The range of an integer type maps to [0, 1]; float32 is not scaled."""


def check_frame(image: Array) -> None:
    """Raise a ValueError unless an array has the shape and the type of a frame."""
    is_frame = image.ndim == 3 and image.shape[2] in (3, 4) and 0 not in image.shape
    if not is_frame or image.dtype not in TYPES:
        raise ValueError(
            "frames must be (H, W, 3) RGB, or (H, W, 4) with alpha, of uint8, uint16 or float32, "
            f"got {image.shape} of {image.dtype}"
        )


def to_tensor(image: Array, device: torch.device | str = "cpu") -> Tensor:
    """Convert (H, W, C) uint8 or uint16, with C of 3 or 4, to (1, C, H, W) float32 in [0, 1].

    The tensor is channels last, as the array is. An array of float32 is not scaled, and shares its
    memory with a tensor on the CPU, unless it is read-only.

    Raises:
        ValueError: the rank, the number of channels or the type is not supported.
    """
    check_frame(image)
    writable = np.require(image, requirements=("C", "W"))  # tensors cannot be read-only
    tensor = upload(torch.from_numpy(writable), device)  # as integers: a quarter of the bytes
    if image.dtype != np.float32:
        tensor = tensor.float().div_(np.iinfo(image.dtype).max)
    return tensor.permute(2, 0, 1)[None]


def to_image(tensor: Tensor, dtype: np.dtype[Any] | type = np.uint8) -> Array:
    """Convert (1, C, H, W) float to an array (H, W, C) of an integer type, clipped to [0, 1] and
    rounded to the nearest; or to float32, unchanged. The array has memory of its own."""
    whole = tensor[0].permute(1, 2, 0).float()
    if dtype == np.float32:
        return np.array(download(whole).numpy(), order="C")
    scaled = whole.clamp(0, 1).mul_(np.iinfo(dtype).max).round_()
    return download(scaled.to(getattr(torch, np.dtype(dtype).name))).contiguous().numpy()
