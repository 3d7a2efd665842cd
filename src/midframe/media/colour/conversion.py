"""Convert between decoded frames and RGB, with the frame's own matrix and range in both directions,
and alpha if there is any."""

from dataclasses import dataclass, replace

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from midframe.media.pictures.images import Array

BT709, UNSPECIFIED, BT470BG, RGB, YCGCO = 1, 2, 5, 0, 8
"""Matrix coefficients numbered as in ISO/IEC 23091-2."""
REPLACED_MATRICES = {10: 9}
"""The nearest matrix that FFmpeg converts, for those that it refuses: constant luminance."""
CONVERTED_MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)
"""Matrices that FFmpeg converts. BT.709 is used for all others, in both directions: the errors
cancel, and interpolated frames have the same matrix as source frames."""
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114),
7: (0.212, 0.087),
                9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}  # fmt: skip
"""Weights of red and blue in the luma of a matrix (ISO/IEC 23091-2, table 4)."""
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class Colour:
    """How the samples of a video represent colours."""

    matrix: int
    full_range: bool
    high_bit_depth: bool
    """More than 8 bits a sample."""
    alpha: bool = False
    """Pixels have a fourth sample, their opacity."""

    @property
    def rgb_format(self) -> str:
        if self.alpha:
            return "rgba64le" if self.high_bit_depth else "rgba"
        return "rgb48le" if self.high_bit_depth else "rgb24"

    @property
    def range(self) -> ColorRange:
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG


def colour_of(frame: av.VideoFrame) -> Colour:
    """Read the colour properties of a frame; without a stated matrix, BT.709 is assumed from 720
    rows up and BT.601 below, as players do."""
    name = frame.format.name
    matrix = int(frame.colorspace)
    if matrix in (UNSPECIFIED, RGB):
        matrix = BT709 if frame.height >= 720 else BT470BG
    rgb = is_rgb(frame.format)
    full = int(frame.color_range) == ColorRange.JPEG or name.startswith("yuvj") or rgb
    high_bit_depth = max(part.bits for part in frame.format.components) > 8
    return Colour(matrix, full, high_bit_depth, has_alpha(frame.format))


def is_rgb(form: av.VideoFormat) -> bool:
    """Return whether a pixel format stores RGB or palette indices."""
    return bool(form.is_rgb or form.has_palette)


def has_alpha(form: av.VideoFormat) -> bool:
    """Return whether a pixel format has alpha."""
    return bool(form.has_palette or any(part.is_alpha for part in form.components))


def converted_matrix(matrix: int) -> int:
    """Return the matrix with which FFmpeg converts samples: the given one, or a substitute."""
    matrix = REPLACED_MATRICES.get(matrix, matrix)
    return matrix if matrix in CONVERTED_MATRICES else BT709


def to_rgb(frame: av.VideoFrame, colour: Colour) -> Array:
    """Convert a frame to (H, W, 3) RGB, or (H, W, 4) with alpha: uint8, or uint16 with a high bit
    depth."""
    if _needs_matrix(frame.format, colour):
        return _to_rgb_by_matrix(frame, colour)
    image: Array = _reformat(
        frame, colour, colour.rgb_format, colour.range, ColorRange.JPEG
    ).to_ndarray()
    return image


def from_rgb(image: Array, colour: Colour, pixel_format: str) -> av.VideoFrame:
    """Convert an array like those of `to_rgb` to a frame of a pixel format, in the matrix and range
    of `colour`."""
    form = av.VideoFormat(pixel_format)
    if _needs_matrix(form, colour):
        return _from_rgb_by_matrix(image, colour, pixel_format)
    frame = av.VideoFrame.from_ndarray(
        image, format=replace(colour, alpha=image.shape[2] == 4).rgb_format
    )
    return _reformat(
        frame,
        colour,
        pixel_format,
        ColorRange.JPEG,
        ColorRange.JPEG if is_rgb(form) else colour.range,
    )


def grey(frame: av.VideoFrame) -> Array:
    """Convert a frame to its luma at full range, (H, W) uint8."""
    # Stated, since FFmpeg refuses some matrices of frames; with another one it would mix in chroma.
    image: Array = (
        VideoReformatter()
        .reformat(frame, format="gray8", src_colorspace=BT470BG, dst_colorspace=BT470BG)
        .to_ndarray()
    )
    return image


def convert_format(
    frame: av.VideoFrame, colour: Colour, pixel_format: str, result: Colour | None = None
) -> av.VideoFrame:
    """Convert a source frame to the encoder's pixel format; without conversion if it is the same.

    Args:
        frame, colour: the picture, and how its samples represent colours.
        pixel_format: of the result.
        result: how the samples of the result represent colours; as those of the frame if None.
    """
    result = result or colour
    if frame.format.name == pixel_format:
        return frame
    if is_rgb(frame.format) != is_rgb(av.VideoFormat(pixel_format)):
        return from_rgb(to_rgb(frame, colour), result, pixel_format)
    return _reformat(frame, colour, pixel_format, colour.range, result.range)


def _reformat(
    frame: av.VideoFrame, colour: Colour, pixel_format: str, before: ColorRange, after: ColorRange
) -> av.VideoFrame:
    matrix = converted_matrix(colour.matrix)
    return VideoReformatter().reformat(  # `frame.reformat` is not thread-safe
        frame,
        format=pixel_format,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=before,
        dst_color_range=after,
        interpolation=EXACT,
    )


def _needs_matrix(form: av.VideoFormat, colour: Colour) -> bool:
    """Return whether the matrix is computed here instead of by FFmpeg.

    FFmpeg truncates full-range samples instead of rounding: an error of half a code value in the
    mean. With alpha its conversion to RGB is less exact too.
    """
    if is_rgb(form):
        return False
    coarse = (colour.full_range or colour.alpha) and colour.matrix in LUMA_WEIGHTS
    return coarse or colour.matrix == YCGCO


def _to_rgb_by_matrix(frame: av.VideoFrame, colour: Colour) -> Array:
    """Convert to RGB with a matrix of `luma_chroma`; FFmpeg only upsamples the chroma."""
    bits = max(8, *(part.bits for part in frame.format.components))
    whole = _reformat(
        frame, colour, _full_resolution(bits, colour.alpha), colour.range, colour.range
    )
    zeros, spans = code_ranges(bits, colour)
    samples = (np.stack([plane_of(plane, bits) for plane in whole.planes], axis=-1) - zeros) / spans
    samples[..., :3] = samples[..., :3] @ np.linalg.inv(luma_chroma(colour.matrix)).T.astype(
        np.float32
    )
    peak = 65535 if colour.high_bit_depth else 255
    image: Array = np.rint(samples.clip(0, 1) * peak).astype(
        np.uint16 if colour.high_bit_depth else np.uint8
    )
    return image


def _from_rgb_by_matrix(image: Array, colour: Colour, pixel_format: str) -> av.VideoFrame:
    form = av.VideoFormat(pixel_format)
    bits = max(part.bits for part in form.components)
    stored = replace(colour, alpha=has_alpha(form) and image.shape[2] == 4)
    samples = image[..., : 3 + stored.alpha] / np.float32(np.iinfo(image.dtype).max)
    samples[..., :3] = samples[..., :3] @ luma_chroma(colour.matrix).T.astype(np.float32)
    zeros, spans = code_ranges(bits, stored)
    codes = (
        np.rint(samples * spans + zeros)
        .clip(0, 2**bits - 1)
        .astype(np.uint16 if bits > 8 else np.uint8)
    )
    whole = av.VideoFrame(image.shape[1], image.shape[0], _full_resolution(bits, stored.alpha))
    for number, plane in enumerate(whole.planes):
        room = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
        room[:, : plane.width] = codes[..., number]
        plane.update(room)
    return _reformat(whole, colour, pixel_format, colour.range, colour.range)


def code_ranges(bits: int, colour: Colour) -> tuple[Array, Array]:
    """Return the code value of 0, and the number of codes from 0 to 1, of luma, both chromas, and
    alpha if there is any."""
    peak = 2**bits - 1
    middle = 2 ** (bits - 1)
    step = 2 ** (bits - 8)
    black = 0 if colour.full_range else 16 * step
    luma = peak if colour.full_range else 219 * step
    chroma = peak if colour.full_range else 224 * step
    count = 3 + colour.alpha
    zeros = np.array([black, middle, middle, 0][:count], np.float32)
    spans = np.array([luma, chroma, chroma, peak][:count], np.float32)
    return zeros, spans


def _full_resolution(bits: int, alpha: bool) -> str:
    return f"yuv{'a' if alpha else ''}444p{'' if bits == 8 else f'{bits}le'}"


def plane_of(plane: av.video.plane.VideoPlane, bits: int) -> Array:
    """Return the samples of a plane, (h, w), as a view of its memory."""
    dtype = np.dtype(np.uint16 if bits > 8 else np.uint8)
    samples: Array = np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
    return samples


def luma_chroma(matrix: int) -> Array:
    """Return the matrix from R, G, B in [0, 1] to Y, in the same range, and Cb and Cr around 0."""
    if matrix == YCGCO:  # Cg lies where other matrices have Cb, and Co where they have Cr
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]], np.float64)
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    wide, high = 2 * (1 - blue), 2 * (1 - red)
    return np.array(
        [[red, green, blue], [-red / wide, -green / wide, 0.5], [0.5, -green / high, -blue / high]],
        np.float64,
    )
