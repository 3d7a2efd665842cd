"""Decode image files to arrays: one decoder for single images and for images as the frames of a
video.

Pillow decodes images of 8 bits per sample, palettes, CMYK, AVIF and the metadata. It reduces most
images of more bits to 8, so FFmpeg decodes those, and formats that Pillow does not support (DPX).
libheif decodes HEIC images, if pi-heif is installed.
"""

import errno
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from midframe.errors import SourceError, VideoError
from midframe.media.pictures import heic
from midframe.media.pictures.ffmpeg_decoding import bits_by_ffmpeg, decode_by_ffmpeg
from midframe.media.pictures.picture import Array, ImageFormat, Picture, unsupported_samples

ORIENTATION = 0x0112
"""EXIF's tag of the orientation of the stored image."""
ROTATIONS: dict[int, Any] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.swapaxes(np.rot90(image, 2), 0, 1),
    8: lambda image: np.rot90(image, 1),
}
"""Functions that make the stored image upright, by the value of `ORIENTATION`."""
TRANSPOSED = (5, 6, 7, 8)
"""Values of `ORIENTATION` that exchange height and width."""
WHITE_IS_ZERO, YCBCR = 0, 6
PHOTOMETRIC = 262
"""TIFF's tag of the photometric interpretation."""
DEPTH_BY_FFMPEG = ("AVIF", "JPEG2000")
"""Formats of which Pillow does not report the bits per sample."""
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow raises for damaged files, depending on the format."""
TEMPORARY_ERRORS = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.EACCES}
"""Errors of a disk or a network, after which the file may be intact."""


def read_picture(path: str | Path) -> Picture:
    """Read an image with all its bits, its alpha and its ICC profile, rotated by its EXIF
    orientation.

    Grey and palette pictures become RGB. Of a file with several pictures the first is read.

    Raises:
        VideoError: the file is missing, is no picture, or has samples that are no integers of up to
            16 bits.
    """
    path = Path(path)
    with convert_errors(path):
        try:
            with path.open("rb") as file, Image.open(file) as image:
                return decode(image, path)
        except UnidentifiedImageError:
            if heic.is_supported(path):
                return heic.decode(path)
            return decode_by_ffmpeg(path, upright=True)


def read_image_format(path: Path) -> ImageFormat:
    """Read the properties of an image, without decoding its pixels if Pillow or libheif supports
    its format.

    Raises:
        VideoError: as `read_picture`.
    """
    with convert_errors(path):
        try:
            with path.open("rb") as file, Image.open(file) as image:
                return image_format_of(image, path)
        except UnidentifiedImageError:
            if heic.is_supported(path):
                return heic.read_format(path)
            pixels = decode_by_ffmpeg(path, upright=True).image
            height, width, channels = pixels.shape
            return ImageFormat(height, width, pixels.dtype == np.uint16, channels == 4)


def image_format_of(image: ImageFile, path: Path, *, page: bool = False) -> ImageFormat:
    """Return the properties of an open image; `page` as in `decode`."""
    _check_samples(image, path)
    high_bit_depth = image.mode.startswith("I") if page else has_high_bit_depth(image, path)
    width, height = image.size
    # Pillow would decode a whole PNG in search of an orientation behind the pixels
    in_header = image.format != "PNG" or {"exif", "xmp"} & image.info.keys()
    if in_header and _orientation(image) in TRANSPOSED:
        height, width = width, height
    return ImageFormat(height, width, high_bit_depth, _has_alpha(image), _density(image))


def decode(image: ImageFile, path: Path, *, page: bool = False) -> Picture:
    """Read the pixels of an open picture.

    Args:
        image, path: the picture, and its file.
        page: it is one of several pictures of the file that are read; otherwise the others are
            reported as dropped.
    """
    _check_samples(image, path)
    # both must be read before Pillow decodes the image
    high_bit_depth = has_high_bit_depth(image, path)
    count = getattr(image, "n_frames", 1)
    found = _decode_high_depth(image, path, page=page) if high_bit_depth else None
    lost = found is None and high_bit_depth
    found = found or _eight_bit_picture(image)
    dropped = [f"{count - 1} of {count} images in the file"] if count > 1 and not page else []
    dropped += [f"bits beyond 8 of each sample (of {image.format})"] if lost else []
    profile = found.icc_profile
    if profile and profile[16:20] != b"RGB ":
        space = profile[16:20].decode("ascii", "replace").strip()
        dropped.append(f"ICC profile (of {space}, the result is RGB)")
        profile = None
    pixels = np.ascontiguousarray(_rotate(found.image, _orientation(image)))
    return replace(found, image=pixels, icc_profile=profile, dropped=(*dropped, *found.dropped))


def has_high_bit_depth(image: ImageFile, path: Path) -> bool:
    """Return whether an image has more than 8 bits per sample."""
    if image.mode.startswith("I"):
        return True
    if image.format in DEPTH_BY_FFMPEG:
        return bits_by_ffmpeg(path) > 8
    arguments = [_arguments(tile.args) for tile in image.tile]
    if image.format == "PPM":
        return any(isinstance(each, int) and each > 255 for tile in arguments for each in tile)
    return any(";16" in str(each) or ";12" in str(each) for tile in arguments for each in tile)


def _arguments(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def _check_samples(image: ImageFile, path: Path) -> None:
    if image.mode == "F":
        raise unsupported_samples(path, "floating-point")
    if any(";16S" in str(tile.args) for tile in image.tile) or (
        image.mode == "I" and image.format != "PPM"
    ):
        raise unsupported_samples(path, "signed or 32-bit")


def _orientation(image: ImageFile) -> int:
    """Return the EXIF orientation of the decoded pixels; 1 (upright) for TIFF, which Pillow rotates
    itself."""
    return 1 if image.format == "TIFF" else int(image.getexif().get(ORIENTATION, 1))


def _density(image: ImageFile) -> tuple[float, float] | None:
    # fields without a unit, which state the ratio only
    without_unit = "jfif_density" if image.info.get("jfif_unit") == 0 else "aspect"
    density = image.info.get(without_unit) or image.info.get("dpi") or (1, 1)
    x = float(density[0])
    y = float(density[1])
    return (x, y) if x > 0 and y > 0 and abs(x / y - 1) > 0.01 else None


def _has_alpha(image: ImageFile) -> bool:
    return image.has_transparency_data or image.mode in ("La", "RGBa")


def _decode_high_depth(image: ImageFile, path: Path, *, page: bool) -> Picture | None:
    """Decode an image with all its bits, as stored; return None if neither library supports
    them."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") and "transparency" not in image.info:
        return Picture(_grey(image), profile)
    if image.mode == "CMYK" or page:
        return None
    orientation = int(image.tag_v2.get(ORIENTATION, 1)) if isinstance(image, TiffImageFile) else 1
    try:
        found = decode_by_ffmpeg(path)
    except (av.FFmpegError, ValueError, SourceError):
        return None
    pixels = _rotate(found.image, orientation)  # `image.size` of a TIFF is upright already
    same_size = pixels.shape[:2] == image.size[::-1]
    same_channels = (pixels.shape[2] == 4) == _has_alpha(image)
    if not (same_size and same_channels):
        return None
    return replace(found, image=pixels, icc_profile=profile, dropped=())  # `decode` counts them


def _rotate(image: Array, orientation: int) -> Array:
    upright: Array = ROTATIONS[orientation](image) if orientation in ROTATIONS else image
    return upright


def _grey(image: ImageFile) -> Array:
    """Convert a grey image of up to 16 bits to RGB."""
    samples = np.asarray(image).astype(np.int64)
    if any(";12" in str(tile.args) for tile in image.tile):
        samples = np.rint(samples * (65535 / 4095)).astype(np.int64)
    if isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        samples = 65535 - samples
    return samples.clip(0, 65535).astype(np.uint16)[..., None].repeat(3, axis=2)


def _eight_bit_picture(image: ImageFile) -> Picture:
    """Convert an image by Pillow, in its stored orientation."""
    profile = image.info.get("icc_profile")
    if isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == YCBCR:
        return Picture(_ycbcr(image), profile)
    if image.mode == "LAB" or (image.mode == "CMYK" and profile):
        before: Any = (
            ImageCms.ImageCmsProfile(BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        )
        converted = ImageCms.profileToProfile(
            image, before, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return Picture(np.array(converted))
    dropped = ("exact colours (CMYK without an ICC profile)",) if image.mode == "CMYK" else ()
    return Picture(
        np.array(image.convert("RGBA" if _has_alpha(image) else "RGB")), profile, dropped
    )


def _ycbcr(image: TiffImageFile) -> Array:
    """Convert a TIFF of YCbCr to RGB; Pillow before 13 misreads uncompressed samples as RGB."""
    tiles = [tile for tile in image.tile if tile.codec_name == "raw"]
    if image.mode == "RGB" and tiles:
        image.tile = [tile._replace(args=("RGB", *_arguments(tile.args)[1:])) for tile in tiles]
        return np.array(Image.merge("YCbCr", image.split()).convert("RGB"))
    return np.array(image.convert("RGB"))


@contextmanager
def convert_errors(path: Path) -> Iterator[None]:
    """Convert errors of the libraries to a VideoError that names the file; hide their warnings
    about skipped data."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: name an image") from error
    except (
        *PILLOW_ERRORS,
        av.FFmpegError,
        ImageCms.PyCMSError,
        Image.DecompressionBombError,
    ) as error:
        reason = getattr(error, "strerror", None) or error
        temporary = getattr(error, "errno", None) in TEMPORARY_ERRORS
        error_type = VideoError if temporary else SourceError
        known = "PNG, JPEG, WebP, AVIF, TIFF and BMP can"
        raise error_type(f"{path} cannot be read as an image ({reason}): {known}") from error
