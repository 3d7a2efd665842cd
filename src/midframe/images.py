"""Pictures: files, integer arrays and float tensors. Rounding to integers lives here and nowhere else."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from midframe.errors import VideoError

Array = np.ndarray[Any, Any]
TYPES = (np.uint8, np.uint16, np.float32)
"""Types of the arrays that tensors are made of. Integers stand for 0 to 1, float32 is taken as it is."""


def read_image(path: str | Path) -> Array:
    """Read a picture as (H, W, 3) RGB uint8, turned as its EXIF tag says.

    Raises:
        VideoError: the file is missing or no picture.
    """
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as error:
        raise VideoError(f"{path} does not exist: name a picture") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise VideoError(f"{path} cannot be read as a picture ({error}): PNG, JPEG, WebP, TIFF and BMP can") from error


DEEP_ENCODERS = {"PNG": ("png", "rgb48be", "rgba64be"), "TIFF": ("tiff", "rgb48le", "rgba64le")}
"""FFmpeg's encoders of 16-bit pictures, which Pillow has none of, and what they call RGB, without alpha and with it."""


def writes(suffix: str) -> bool:
    """Whether pictures can be written with names of this ending."""
    return Image.registered_extensions().get(suffix.lower()) in Image.SAVE


def write_image(path: str | Path, image: Array) -> None:
    """Write a picture in the format of its ending; the file appears when it is whole.

    Args:
        path: where to.
        image: (H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16. 16 bits go into PNG and TIFF, and are rounded
            to 8 elsewhere.

    Raises:
        VideoError: no such format, or the place cannot be written to.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if not kind or not writes(path.suffix):
        raise VideoError(f"{path}: pictures cannot be written as {path.suffix or 'a name without an ending'}: use .png")
    unfinished = path.with_name(f".{path.name}.part")
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    try:
        if image.dtype == np.uint16 and kind in DEEP_ENCODERS:
            unfinished.write_bytes(_encoded_deep(image, *DEEP_ENCODERS[kind]))
        else:
            Image.fromarray(eight_bit(image)).save(unfinished, format=kind, **options)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise VideoError(f"{path} cannot be written ({error.strerror or error}): choose another place") from error


def eight_bit(image: Array) -> Array:
    """A picture of uint8 or uint16 as uint8, rounded."""
    eight: Array = image if image.dtype == np.uint8 else np.rint(image / 257).astype(np.uint8)
    return eight


def _encoded_deep(image: Array, encoder: str, plain: str, clear: str) -> bytes:
    frame = av.VideoFrame.from_ndarray(image, format="rgba64le" if image.shape[2] == 4 else "rgb48le")
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, clear if image.shape[2] == 4 else plain
    context.time_base = Fraction(1)
    return b"".join(
        bytes(packet) for given in (frame.reformat(format=context.pix_fmt), None) for packet in context.encode(given)
    )


def blended(first: Array, second: Array, share: Fraction) -> Array:
    """Both images, the second by a share from 0 to 1, rounded."""
    mixed: Array = np.rint(first * float(1 - share) + second * float(share)).astype(first.dtype)
    return mixed


def to_tensor(image: Array, device: torch.device | str = "cpu") -> Tensor:
    """From (H, W, 3) uint8 or uint16 to (1, 3, H, W) float32 in [0, 1]; the same with a fourth channel.

    The colours of a pixel stay side by side in memory (PyTorch's channels last). An array of float32 is taken as it is,
    and shares its memory with the tensor.

    Raises:
        ValueError: another rank, number of channels or type.
    """
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype not in TYPES or 0 in image.shape:
        raise ValueError(
            f"an (H, W, 3) array of uint8, uint16 or float32 is needed, got {image.shape} of {image.dtype}"
        )
    whole = torch.from_numpy(np.ascontiguousarray(image))
    if image.dtype != np.float32:
        whole = whole.float().div_(np.iinfo(image.dtype).max)
    return whole.to(device).permute(2, 0, 1)[None]


def to_image(tensor: Tensor, dtype: np.dtype[Any] | type = np.uint8) -> Array:
    """From (1, C, H, W) float to (H, W, C) integers of a type: clipped to [0, 1] and rounded to the nearest.

    The type may be float32 too: values are then left as they are.
    """
    whole = tensor[0].permute(1, 2, 0).float()
    if dtype == np.float32:
        return whole.cpu().contiguous().numpy()
    scaled = whole.clamp(0, 1).mul_(np.iinfo(dtype).max).round_()
    return scaled.cpu().to(getattr(torch, np.dtype(dtype).name)).contiguous().numpy()
