"""Convert between decoded frames and RGB, with the frame's own matrix and range in both directions,
and alpha if there is any."""

from dataclasses import dataclass, replace
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from midframe.media.pictures.images import Array
from midframe.media.pixel_formats import PACKED_RGB, bit_depth, has_alpha, is_rgb

BT709, UNSPECIFIED, BT470BG, RGB, YCGCO = 1, 2, 5, 0, 8
"""Matrix coefficients numbered as in ISO/IEC 23091-2."""
SUBSTITUTE_MATRICES = {10: 9}
"""The nearest matrix that FFmpeg converts, for those that it refuses: constant luminance."""
FFMPEG_MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)
"""Matrices that FFmpeg converts. BT.709 is used for all others, in both directions: the errors
cancel, and interpolated frames have the same matrix as source frames."""
LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
"""Weights of red and blue in the luma of a matrix (ISO/IEC 23091-2, table 4)."""
SCALER_FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
"""Flags of FFmpeg's scaler for the most exact conversion."""


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
        return PACKED_RGB[self.high_bit_depth, self.alpha]

    @property
    def range(self) -> ColorRange:
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG

    def has_codes_of(self, other: "Colour") -> bool:
        """Return whether equal samples represent equal colours, whatever their bit depth."""
        weights = LUMA_WEIGHTS.get(self.matrix, self.matrix)
        same_matrix = weights == LUMA_WEIGHTS.get(other.matrix, other.matrix)
        return same_matrix and self.full_range == other.full_range


def colour_of(frame: av.VideoFrame) -> Colour:
    """Read the colour properties of a frame; without a stated matrix, BT.709 is assumed from 720
    rows up and BT.601 below, as players do."""
    name = frame.format.name
    matrix = int(frame.colorspace)
    if matrix in (UNSPECIFIED, RGB):
        matrix = BT709 if frame.height >= 720 else BT470BG
    rgb = is_rgb(frame.format)
    full = int(frame.color_range) == ColorRange.JPEG or name.startswith("yuvj") or rgb
    high_bit_depth = bit_depth(frame.format) > 8
    return Colour(matrix, full, high_bit_depth, has_alpha(frame.format))


def ffmpeg_matrix(matrix: int) -> int:
    """Return the matrix with which FFmpeg converts samples: the given one, or a substitute."""
    matrix = SUBSTITUTE_MATRICES.get(matrix, matrix)
    return matrix if matrix in FFMPEG_MATRICES else BT709


def to_rgb(frame: av.VideoFrame, colour: Colour) -> Array:
    """Convert a frame to (H, W, 3) RGB, or (H, W, 4) with alpha: uint8, or uint16 with a high bit
    depth."""
    if _must_use_numpy(frame.format, colour):
        return _to_rgb_with_numpy(frame, colour)
    image: Array = _reformat(
        frame, colour, colour.rgb_format, colour.range, ColorRange.JPEG
    ).to_ndarray()
    return image


def from_rgb(image: Array, colour: Colour, pixel_format: str) -> av.VideoFrame:
    """Convert an array like those of `to_rgb` to a frame of a pixel format, in the matrix and range
    of `colour`."""
    form = av.VideoFormat(pixel_format)
    if _must_use_numpy(form, colour):
        return _from_rgb_with_numpy(image, colour, pixel_format)
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
    # The same matrix on both sides: FFmpeg refuses some matrices of frames, and two different ones
    # would mix chroma into luma.
    image: Array = reformat(
        frame, format="gray8", src_colorspace=BT470BG, dst_colorspace=BT470BG
    ).to_ndarray()
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


def reformat(frame: av.VideoFrame, **options: Any) -> av.VideoFrame:
    """Convert the size, pixel format or colour of a frame with FFmpeg's scaler.

    It may be called from several threads at a time, unlike `frame.reformat`. It uses one thread:
    starting others for each frame takes longer than they save.

    Args:
        options: as those of PyAV's `VideoReformatter.reformat`.
    """
    return VideoReformatter().reformat(frame, threads=1, **options)


def _reformat(
    frame: av.VideoFrame, colour: Colour, pixel_format: str, before: ColorRange, after: ColorRange
) -> av.VideoFrame:
    matrix = ffmpeg_matrix(colour.matrix)
    return reformat(
        frame,
        format=pixel_format,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=before,
        dst_color_range=after,
        interpolation=SCALER_FLAGS,
    )


def _must_use_numpy(form: av.VideoFormat, colour: Colour) -> bool:
    """Return whether the matrix must be applied by NumPy instead of FFmpeg.

    FFmpeg truncates full-range samples instead of rounding: an error of half a code value in the
    mean. With alpha its conversion to RGB is less exact too. It does not convert YCgCo.
    """
    if is_rgb(form):
        return False
    inexact_in_ffmpeg = colour.full_range or colour.alpha
    return colour.matrix == YCGCO or (inexact_in_ffmpeg and colour.matrix in LUMA_WEIGHTS)


def _to_rgb_with_numpy(frame: av.VideoFrame, colour: Colour) -> Array:
    """Convert to RGB with the inverse of `rgb_to_ycbcr`; FFmpeg only upsamples the chroma."""
    bits = max(8, bit_depth(frame.format))
    upsampled = _reformat(frame, colour, _yuv444(bits, colour.alpha), colour.range, colour.range)
    codes = np.stack([plane_samples(plane, bits) for plane in upsampled.planes], axis=-1)
    zeros, spans = code_ranges(bits, colour)
    samples = (codes - zeros) / spans
    matrix = np.linalg.inv(rgb_to_ycbcr(colour.matrix)).astype(np.float32)
    samples[..., :3] = samples[..., :3] @ matrix.T
    dtype = np.uint16 if colour.high_bit_depth else np.uint8
    image: Array = np.rint(samples.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)
    return image


def _from_rgb_with_numpy(image: Array, colour: Colour, pixel_format: str) -> av.VideoFrame:
    form = av.VideoFormat(pixel_format)
    bits = bit_depth(form)
    stored = replace(colour, alpha=has_alpha(form) and image.shape[2] == 4)
    samples = image[..., : 3 + stored.alpha] / np.float32(np.iinfo(image.dtype).max)
    samples[..., :3] = samples[..., :3] @ rgb_to_ycbcr(colour.matrix).T.astype(np.float32)
    zeros, spans = code_ranges(bits, stored)
    codes = (
        np.rint(samples * spans + zeros)
        .clip(0, 2**bits - 1)
        .astype(np.uint16 if bits > 8 else np.uint8)
    )
    frame = av.VideoFrame(image.shape[1], image.shape[0], _yuv444(bits, stored.alpha))
    for number, plane in enumerate(frame.planes):
        lines = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
        lines[:, : plane.width] = codes[..., number]
        plane.update(lines)
    return _reformat(frame, colour, pixel_format, colour.range, colour.range)


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


def _yuv444(bits: int, alpha: bool) -> str:
    """Return FFmpeg's name of the planar format with chroma at full resolution."""
    return f"yuv{'a' if alpha else ''}444p{'' if bits == 8 else f'{bits}le'}"


def plane_samples(plane: av.video.plane.VideoPlane, bits: int) -> Array:
    """Return the samples of a plane, (h, w), as a view of its memory."""
    dtype = np.dtype(np.uint16 if bits > 8 else np.uint8)
    samples: Array = np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
    return samples


def rgb_to_ycbcr(matrix: int) -> Array:
    """Return the matrix from R, G, B in [0, 1] to Y, in the same range, and Cb and Cr around 0."""
    if matrix == YCGCO:  # Cg lies where other matrices have Cb, and Co where they have Cr
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0, -0.5]], np.float64)
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    blue_scale = 2 * (1 - blue)  # Cb = (B - Y) / blue_scale
    red_scale = 2 * (1 - red)  # Cr = (R - Y) / red_scale
    return np.array(
        [
            [red, green, blue],
            [-red / blue_scale, -green / blue_scale, 0.5],
            [0.5, -green / red_scale, -blue / red_scale],
        ],
        np.float64,
    )
