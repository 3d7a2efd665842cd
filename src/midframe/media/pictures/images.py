"""Images as integer arrays: reading, writing, and conversion to a common format."""

import struct
import zlib
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageCms

from midframe.errors import VideoError
from midframe.media.pictures.decoding import read_picture
from midframe.media.pictures.picture import Array as Array
from midframe.outputs import atomic_write

HIGH_DEPTH_ENCODERS = {
    "PNG": ("png", "rgb48be", "rgba64be"),
    "TIFF": ("tiff", "rgb48le", "rgba64le"),
}
"""FFmpeg's encoders of 16-bit images, which Pillow lacks, and their pixel formats without and with
alpha."""
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "exact": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
"""Options of Pillow's encoders."""
ICC_HEADER = 128
"""Bytes of the header of an ICC profile (ICC.1, 7.2)."""
TIFF_PROFILE = 34675
"""Tag of an ICC profile in TIFF."""


def read_image(path: str | Path) -> Array:
    """Read an image as (H, W, 3) RGB uint8, rotated by its EXIF orientation, composited onto black;
    see `read_picture` for all its data.

    Raises:
        VideoError: the file is missing or no picture.
    """
    return eight_bit(on_black(read_picture(path).image))


def can_write(suffix: str) -> bool:
    """Return whether images can be written with this suffix."""
    return _format_of(suffix) is not None


def lost_properties(
    suffix: str, *, high_bit_depth: bool, alpha: bool, icc_profile: bytes | None
) -> list[str]:
    """List the properties of an image that a format does not support.

    Args:
        suffix: of the file; one that `can_write` accepts.
        high_bit_depth: it has more than 8 bits a sample.
        alpha: it has alpha.
        icc_profile: it has an ICC profile.
    """
    format_name = _format_of(suffix) or ""
    keeps_alpha, keeps_profile = _features(format_name) or (False, False)
    lost = []
    if alpha and not keeps_alpha:
        lost.append(f"alpha ({format_name} has none)")
    if high_bit_depth and format_name not in HIGH_DEPTH_ENCODERS:
        lost.append(f"bits beyond 8 of each sample ({format_name}; PNG and TIFF hold 16)")
    if icc_profile and not keeps_profile:
        lost.append(f"ICC profile ({format_name} has none)")
    if format_name == "GIF":
        lost.append("colours beyond 256 (GIF)")
    return lost


def write_image(path: str | Path, image: Array, icc_profile: bytes | None = None) -> None:
    """Write an image in the format of its suffix; the file appears when it is complete.

    Args:
        path: where to.
        image: (H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16. 16 bits go into PNG and
            TIFF, and are rounded to 8 elsewhere; where the format has no alpha, the image is
            composited onto black (`lost_properties`).
        icc_profile: of the picture, written where the format holds one.

    Raises:
        VideoError: no such format, or the place cannot be written to.
    """
    path = Path(path)
    format_name = _format_of(path.suffix)
    if format_name is None:
        raise VideoError(
            f"{path}: images cannot be written as {path.suffix or 'a name without an ending'}: "
            "use .png"
        )
    keeps_alpha, keeps_profile = _features(format_name) or (False, False)
    image = image if keeps_alpha else on_black(image)
    icc_profile = icc_profile if keeps_profile else None
    options = OPTIONS.get(format_name, {}) | ({"icc_profile": icc_profile} if icc_profile else {})
    try:
        with atomic_write(path) as unfinished:
            if image.dtype == np.uint16 and format_name in HIGH_DEPTH_ENCODERS:
                encoded = _encode_high_depth(image, *HIGH_DEPTH_ENCODERS[format_name])
                unfinished.write_bytes(_add_profile(encoded, icc_profile))
            else:
                Image.fromarray(eight_bit(image)).save(unfinished, format=format_name, **options)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path} cannot be written ({reason}): choose another place") from error


def eight_bit(image: Array) -> Array:
    """Convert an image of uint8 or uint16 to uint8, rounded."""
    eight: Array = image if image.dtype == np.uint8 else np.rint(image / 257).astype(np.uint8)
    return eight


def to_sixteen_bit(image: Array) -> Array:
    """Convert an image of uint8 or uint16 to uint16."""
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * 257


def with_alpha(image: Array) -> Array:
    """Return an image with alpha: its own, or opaque."""
    if image.shape[2] == 4:
        return image
    return np.concatenate([image, np.full_like(image[..., :1], np.iinfo(image.dtype).max)], axis=2)


def on_black(image: Array) -> Array:
    """Return an image without alpha: composited onto black. Opaque pixels keep their samples."""
    if image.shape[2] == 3:
        return image
    opacity = image[..., 3:].astype(np.float32) / np.iinfo(image.dtype).max
    composited: Array = np.rint(image[..., :3] * opacity).astype(image.dtype)
    return composited


def unify_formats(images: list[Array]) -> list[Array]:
    """Convert images to 16 bit if any of them is, and add alpha if any of them has it."""
    if any(image.dtype == np.uint16 for image in images):
        images = [to_sixteen_bit(image) for image in images]
    return (
        [with_alpha(image) for image in images]
        if any(image.shape[2] == 4 for image in images)
        else images
    )


@cache
def _format_of(suffix: str) -> str | None:
    """Return Pillow's name of the format of a suffix; None if images cannot be written in it."""
    format_name = Image.registered_extensions().get(suffix.lower())
    return format_name if format_name in Image.SAVE and _features(format_name) is not None else None


@cache
def _features(format_name: str) -> tuple[bool, bool] | None:
    """Return whether a format supports alpha, and ICC profiles, found with a small image; None if
    it does not support RGB."""
    if not _examine_format(format_name, "RGB"):
        return None
    profile = bytes(16) + b"RGB " + bytes(108)
    with_alpha = _examine_format(format_name, "RGBA")
    with_profile = _examine_format(format_name, "RGB", icc_profile=profile)
    return bool(with_alpha and with_alpha[1]), bool(with_profile and with_profile[0])


def _examine_format(format_name: str, mode: str, **options: Any) -> tuple[bool, bool] | None:
    """Return whether an image has an ICC profile, and alpha, after it was written; None if it
    cannot be written, or gets another size (ICO)."""
    file = BytesIO()
    written = Image.new(mode, (40, 24))
    try:
        written.save(file, format=format_name, **options)
    except (OSError, ValueError, KeyError):
        return None
    try:
        with Image.open(file) as image:
            if image.size != written.size:
                return None
            return bool(image.info.get("icc_profile")), image.has_transparency_data
    except OSError:  # a format that is written, not read
        return False, False


def same_profile(first: bytes | None, second: bytes | None) -> bool:
    """Return whether two ICC profiles, or None, describe the same colours; headers are ignored,
    since they contain dates."""
    return (first or b"")[ICC_HEADER:] == (second or b"")[ICC_HEADER:]


def is_srgb(icc_profile: bytes) -> bool:
    """Return whether an ICC profile describes sRGB, the default for images and videos without
    one."""
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
        return "srgb" in ImageCms.getProfileDescription(profile).lower()
    except (OSError, ImageCms.PyCMSError):
        return False


def _encode_high_depth(image: Array, encoder: str, rgb_format: str, rgba_format: str) -> bytes:
    alpha = image.shape[2] == 4
    frame = av.VideoFrame.from_ndarray(image, format="rgba64le" if alpha else "rgb48le")
    context: Any = av.CodecContext.create(encoder, "w")
    context.width = frame.width
    context.height = frame.height
    context.pix_fmt = rgba_format if alpha else rgb_format
    context.time_base = Fraction(1)
    packets = [*context.encode(frame.reformat(format=context.pix_fmt)), *context.encode(None)]
    return b"".join(map(bytes, packets))


def _add_profile(content: bytes, icc_profile: bytes | None) -> bytes:
    """Add an ICC profile to a PNG or a TIFF of FFmpeg, since PyAV cannot pass one to the
    encoders."""
    if not icc_profile:
        return content
    is_tiff = content[:2] == b"II"
    return (_tiff_with_profile if is_tiff else _png_with_profile)(content, icc_profile)


def _png_with_profile(content: bytes, icc_profile: bytes) -> bytes:
    """Insert the chunk iCCP before the palette and the pixels: PNG (ISO/IEC 15948), 11.3.3.3."""
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    place = len(b"\x89PNG\r\n\x1a\n") + 12 + 13  # after the signature and IHDR
    return content[:place] + chunk + content[place:]


def _tiff_with_profile(content: bytes, icc_profile: bytes) -> bytes:
    """Append another directory with the same entries and that of the profile: TIFF 6.0, section
    2."""
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    entries = [content[place + 2 + 12 * n : place + 14 + 12 * n] for n in range(count)]
    content += bytes(len(content) % 2) + icc_profile + bytes(len(icc_profile) % 2)
    profile_place = len(content) - len(icc_profile) - len(icc_profile) % 2
    entries.append(struct.pack("<HHII", TIFF_PROFILE, 7, len(icc_profile), profile_place))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + directory


def blend_images(first: Array, second: Array, t: Fraction) -> Array:
    """Blend two images, the second with the weight `t` from 0 to 1, rounded."""
    blend: Array = np.rint(first * float(1 - t) + second * float(t)).astype(first.dtype)
    return blend
