"""Picture files to arrays: one reader for single pictures and for pictures as the frames of a
video.

Pillow reads what has 8 bits a sample, palettes, CMYK, AVIF and the metadata. It reduces most
pictures of more bits to 8, so FFmpeg decodes those, and formats that Pillow has no reader of (DPX).
"""

import errno
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from midframe.errors import SourceError, VideoError

Array = np.ndarray[Any, Any]
ORIENTATION = 0x0112
"""EXIF's tag of how a stored picture is turned."""
TURNS: dict[int, Any] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.swapaxes(image, 0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.swapaxes(np.rot90(image, 2), 0, 1),
    8: lambda image: np.rot90(image, 1),
}
"""From the stored picture to the upright one, by the tag's value."""
TURNED = (5, 6, 7, 8)
"""Values of the tag that exchange height and width."""
WHITE_IS_ZERO, YCBCR = 0, 6
PHOTOMETRIC = 262
"""TIFF's tag of what a sample means."""
DEPTH_BY_FFMPEG = ("AVIF", "JPEG2000")
"""Formats of which Pillow does not tell the bits of a sample."""
UNSPECIFIED = 2
HDR_TRANSFERS = (16, 18)
"""PQ and HLG, as ISO/IEC 23091-2 numbers them."""
DAMAGE = (
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
"""What Pillow raises for damaged files, in one format or another."""
PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.EACCES}
"""Faults of a disk or a network, after which a file may be as whole as before."""


@dataclass(frozen=True)
class Form:
    """Properties of a picture that are known without its pixels."""

    height: int
    """Upright, in pixels."""
    width: int
    high_bit_depth: bool
    """More than 8 bits a sample."""
    alpha: bool
    density: tuple[float, float] | None = None
    """Pixels in a unit of length, along x and y, where they differ."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture file."""

    image: Array
    """(H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16, upright."""
    icc_profile: bytes | None = None
    """Of RGB."""
    left_out: tuple[str, ...] = ()
    """What of the file is not in it."""
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    """Of the colours, as ISO/IEC 23091-2 numbers them; read of pictures of more than 8 bits
    alone."""


def read_picture(path: str | Path) -> Picture:
    """Read a picture with all its bits, its alpha and its ICC profile, turned as its EXIF tag says.

    Grey and palette pictures become RGB. Of a file with several pictures the first is read.

    Raises:
        VideoError: the file is missing, is no picture, or has samples that are no integers of up to
            16 bits.
    """
    path = Path(path)
    with reported(path):
        try:
            with path.open("rb") as file, Image.open(file) as image:
                return decode(image, path)
        except UnidentifiedImageError:
            return _by_ffmpeg(path)


def read_form(path: Path) -> Form:
    """Read the properties of a picture, without its pixels where Pillow reads its format.

    Raises:
        VideoError: as `read_picture`.
    """
    with reported(path):
        try:
            with path.open("rb") as file, Image.open(file) as image:
                return form_of(image, path)
        except UnidentifiedImageError:
            height, width, channels = (pixels := _by_ffmpeg(path).image).shape
            return Form(height, width, pixels.dtype == np.uint16, channels == 4)


def form_of(image: ImageFile, path: Path, *, page: bool = False) -> Form:
    """The properties of an open picture; `page` as in `decode`."""
    _check_samples(image, path)
    high_bit_depth, (width, height) = (
        image.mode.startswith("I") if page else has_high_bit_depth(image, path),
        image.size,
    )
    stated_first = (
        image.format != "PNG" or {"exif", "xmp"} & image.info.keys()
    )  # else PNG would be decoded for it
    if stated_first and _orientation(image) in TURNED:
        height, width = width, height
    return Form(height, width, high_bit_depth, _has_alpha(image), _density(image))


def decode(image: ImageFile, path: Path, *, page: bool = False) -> Picture:
    """Read the pixels of an open picture.

    Args:
        image, path: the picture, and its file.
        page: it is one of several pictures of the file that are read; otherwise the others are
            reported as dropped.
    """
    _check_samples(image, path)
    high_bit_depth, count = (
        has_high_bit_depth(image, path),
        getattr(image, "n_frames", 1),
    )  # before Pillow decodes it
    found = _deep_picture(image, path, page=page) if high_bit_depth else None
    lost = found is None and high_bit_depth
    found = found or _eight_bit_picture(image)
    left_out = [f"{count - 1} of {count} pictures in the file"] if count > 1 and not page else []
    left_out += [f"bits beyond 8 of each sample (of {image.format})"] if lost else []
    profile = found.icc_profile
    if profile and profile[16:20] != b"RGB ":
        space = profile[16:20].decode("ascii", "replace").strip()
        left_out.append(f"ICC profile (of {space}, the result is RGB)")
        profile = None
    pixels = np.ascontiguousarray(_turned(found.image, _orientation(image)))
    return replace(found, image=pixels, icc_profile=profile, left_out=(*left_out, *found.left_out))


def has_high_bit_depth(image: ImageFile, path: Path) -> bool:
    """Whether a picture has more than 8 bits a sample."""
    if image.mode.startswith("I"):
        return True
    if image.format in DEPTH_BY_FFMPEG:
        return _bits_by_ffmpeg(path) > 8
    arguments = [_arguments(tile.args) for tile in image.tile]
    if image.format == "PPM":
        return any(isinstance(each, int) and each > 255 for tile in arguments for each in tile)
    return any(";16" in str(each) or ";12" in str(each) for tile in arguments for each in tile)


def _arguments(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def _check_samples(image: ImageFile, path: Path) -> None:
    if image.mode == "F":
        raise _no_white(path, "floating-point")
    if any(";16S" in str(tile.args) for tile in image.tile) or (
        image.mode == "I" and image.format != "PPM"
    ):
        raise _no_white(path, "signed or 32-bit")


def _no_white(path: Path, samples: str) -> SourceError:
    return SourceError(
        f"{path} has {samples} samples, which state no white: convert it to 16-bit PNG or TIFF"
    )


def _orientation(image: ImageFile) -> int:
    """How the picture that Pillow gives is turned; of TIFF it turns the pixels itself."""
    return 1 if image.format == "TIFF" else int(image.getexif().get(ORIENTATION, 1))


def _density(image: ImageFile) -> tuple[float, float] | None:
    without_unit = (
        "jfif_density" if image.info.get("jfif_unit") == 0 else "aspect"
    )  # which tell the ratio alone
    x, y = map(float, image.info.get(without_unit) or image.info.get("dpi") or (1, 1))
    return (x, y) if x > 0 and y > 0 and abs(x / y - 1) > 0.01 else None


def _has_alpha(image: ImageFile) -> bool:
    return image.has_transparency_data or image.mode in ("La", "RGBa")


def _deep_picture(image: ImageFile, path: Path, *, page: bool) -> Picture | None:
    """A picture with all its bits, as it is stored; None if nothing reads them."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") and "transparency" not in image.info:
        return Picture(_grey(image), profile)
    turn = int(image.tag_v2.get(ORIENTATION, 1)) if isinstance(image, TiffImageFile) else 1
    try:
        found = _by_ffmpeg(path)
    except (av.FFmpegError, ValueError, SourceError):
        return None
    pixels = _turned(found.image, turn)  # Pillow turns TIFF itself, and its size is the upright one
    whole = pixels.shape[:2] == image.size[::-1] and (pixels.shape[2] == 4) == _has_alpha(image)
    return (
        replace(found, image=pixels, icc_profile=profile)
        if whole and image.mode != "CMYK" and not page
        else None
    )


def _turned(image: Array, orientation: int) -> Array:
    turned: Array = TURNS[orientation](image) if orientation in TURNS else image
    return turned


def _grey(image: ImageFile) -> Array:
    """A grey picture of up to 16 bits as RGB."""
    samples = np.asarray(image).astype(np.int64)
    if any(";12" in str(tile.args) for tile in image.tile):
        samples = np.rint(samples * (65535 / 4095)).astype(np.int64)
    if isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        samples = 65535 - samples
    return samples.clip(0, 65535).astype(np.uint16)[..., None].repeat(3, axis=2)


def _eight_bit_picture(image: ImageFile) -> Picture:
    """A picture as Pillow converts it, as it is stored."""
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
    left_out = ("exact colours (CMYK without an ICC profile)",) if image.mode == "CMYK" else ()
    return Picture(
        np.array(image.convert("RGBA" if _has_alpha(image) else "RGB")), profile, left_out
    )


def _ycbcr(image: TiffImageFile) -> Array:
    """A TIFF of YCbCr; Pillow before 13 takes uncompressed samples for four of RGB."""
    tiles = [tile for tile in image.tile if tile.codec_name == "raw"]
    if image.mode == "RGB" and tiles:
        image.tile = [tile._replace(args=("RGB", *_arguments(tile.args)[1:])) for tile in tiles]
        return np.array(Image.merge("YCbCr", image.split()).convert("RGB"))
    return np.array(image.convert("RGB"))


def _bits_by_ffmpeg(path: Path) -> int:
    try:
        with path.open("rb") as file, av.open(file) as container:
            form = container.streams.video[0].codec_context.format
            return max(part.bits for part in form.components) if form else 8
    except (av.FFmpegError, IndexError):
        return 8


def _by_ffmpeg(path: Path) -> Picture:
    """Decode a picture by FFmpeg; it gets an open file, since in a name it would look for a
    pattern."""
    with path.open("rb") as file, av.open(file) as container:
        frame = next(container.decode(video=0), None) if container.streams.video else None
    if frame is None:
        raise ValueError("no picture in it")
    if any(part.bits > 16 for part in frame.format.components) or "f16" in frame.format.name:
        raise _no_white(path, "floating-point")
    return Picture(_rgb_of(frame), None, (), int(frame.color_primaries), int(frame.color_trc))


def _rgb_of(frame: av.VideoFrame) -> Array:
    """A frame as (H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16."""
    if frame.format.name == "ya16be":
        words = np.frombuffer(frame.planes[0], ">u2").reshape(frame.height, -1)[
            :, : 2 * frame.width
        ]
        return words.reshape(frame.height, frame.width, 2).astype(np.uint16)[..., [0, 0, 0, 1]]
    high_bit_depth = max(part.bits for part in frame.format.components) > 8
    alpha = any(part.is_alpha for part in frame.format.components)
    name = (
        ("rgba64le" if alpha else "rgb48le") if high_bit_depth else ("rgba" if alpha else "rgb24")
    )
    full = frame.format.is_rgb or frame.color_range != ColorRange.MPEG
    before = ColorRange.JPEG if full else ColorRange.MPEG
    converted = frame.reformat(
        format=name,
        src_colorspace=frame.colorspace,
        src_color_range=before,
        dst_color_range=ColorRange.JPEG,
    )
    return np.asarray(converted.to_ndarray())


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Errors of the libraries as errors about a file; their warnings of what they pass over are not
    shown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: name a picture") from error
    except (*DAMAGE, av.FFmpegError, ImageCms.PyCMSError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        kind = VideoError if getattr(error, "errno", None) in PASSING else SourceError
        known = "PNG, JPEG, WebP, AVIF, TIFF and BMP can"
        raise kind(f"{path} cannot be read as a picture ({reason}): {known}") from error
