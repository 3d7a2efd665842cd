"""Decode HEIC images (ISO/IEC 23008-12) by libheif, if pi-heif is installed. It joins the tiles of
which the images of phones consist, and supports alpha, both of which PyAV does not."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from midframe.media.pictures.picture import UNSPECIFIED, Array, ImageFormat, Picture


def is_supported(path: Path) -> bool:
    """Return whether a file is a HEIC image, and pi-heif is installed."""
    try:
        import pi_heif
    except ImportError:
        return False
    with path.open("rb") as file:
        return bool(pi_heif.is_supported(file))


def read_format(path: Path) -> ImageFormat:
    """Read the properties of a HEIC image without decoding its pixels.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    with _open(path) as (_, image):
        width, height = image.size
        return ImageFormat(height, width, image.info["bit_depth"] > 8, bool(image.has_alpha))


def decode(path: Path) -> Picture:
    """Decode the primary image of a HEIC file, rotated and cropped as the file states.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    with _open(path) as (images, image):
        pixels = _to_rgb(_full_scale(np.asarray(image), image.info["bit_depth"]))
        colours = image.info.get("nclx_profile") or {}
        return Picture(
            pixels,
            image.info.get("icc_profile") or None,
            tuple(dropped_parts(images, image.info)),
            colours.get("color_primaries", UNSPECIFIED),
            colours.get("transfer_characteristics", UNSPECIFIED),
        )


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the images of a HEIC file, and its primary one; errors of pi-heif about its content
    become a ValueError."""
    import pi_heif

    try:
        with path.open("rb") as file:
            images = pi_heif.open_heif(file, convert_hdr_to_8bit=False)
            yield images, images[images.primary_index]
    except (RuntimeError, SyntaxError, LookupError, EOFError) as error:
        raise ValueError(error) from error


def _full_scale(samples: Array, bits: int) -> Array:
    """Scale samples of more than 8 bits, which pi-heif shifts to 16 bits, so that white is 65535,
    rounded."""
    if bits <= 8:
        return samples
    white = (1 << bits) - 1
    values = (samples >> (16 - bits)).astype(np.uint32)
    return ((values * 65535 + white // 2) // white).astype(np.uint16)


def _to_rgb(samples: Array) -> Array:
    """Convert (H, W) grey, (H, W, 2) grey with alpha, RGB or RGBA to (H, W, 3) or (H, W, 4)."""
    planes = samples.reshape(*samples.shape[:2], -1)
    channels = {1: [0, 0, 0], 2: [0, 0, 0, 1]}.get(planes.shape[2])
    return planes[..., channels] if channels else planes.copy()  # pi-heif's memory is read-only


def dropped_parts(images: Sequence[Any], info: Mapping[str, Any]) -> Iterator[str]:
    """List what a decoded image does not have of its file.

    Args:
        images: of the file.
        info: pi-heif's properties of the decoded image.
    """
    count = len(images)
    if count > 1:
        yield f"{count - 1} of {count} images in the file"
    if any("gainmap" in name for name in info.get("aux", ())):
        yield "HDR gain map"
    if info.get("depth_images"):
        yield "depth map"
