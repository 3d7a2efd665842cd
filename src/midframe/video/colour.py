"""Between a decoded picture and RGB, with the picture's own matrix and range both ways."""

from dataclasses import dataclass

import av
from av.video.reformatter import ColorRange, Interpolation

from midframe.images import Array

BT709, UNSPECIFIED, BT470BG, RGB = 1, 2, 5, 0
"""Matrix coefficients as ISO/IEC 23091-2 numbers them."""
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP


@dataclass(frozen=True)
class Colour:
    """How the samples of a video stand for colours."""

    matrix: int
    full_range: bool
    deep: bool
    """More than 8 bits a sample."""

    @property
    def rgb_format(self) -> str:
        return "rgb48le" if self.deep else "rgb24"

    @property
    def range(self) -> ColorRange:
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG


def colour_of(frame: av.VideoFrame) -> Colour:
    """Read a picture's colour; where it does not say, take BT.709 from 720 rows up and BT.601 below, as players do."""
    name = frame.format.name
    matrix = int(frame.colorspace)
    if matrix in (UNSPECIFIED, RGB):
        matrix = BT709 if frame.height >= 720 else BT470BG
    full = int(frame.color_range) == ColorRange.JPEG or name.startswith("yuvj") or frame.format.is_rgb
    return Colour(matrix, full, deep=max(part.bits for part in frame.format.components) > 8)


def to_rgb(frame: av.VideoFrame, colour: Colour) -> Array:
    """A picture as (H, W, 3) RGB, uint8 or, if deep, uint16."""
    image: Array = _converted(frame, colour, colour.rgb_format, colour.range, ColorRange.JPEG).to_ndarray()
    return image


def from_rgb(image: Array, colour: Colour, pixel_format: str) -> av.VideoFrame:
    """An RGB array as a picture of a pixel format, in the source's matrix and range."""
    frame = av.VideoFrame.from_ndarray(image, format=colour.rgb_format)
    return _converted(frame, colour, pixel_format, ColorRange.JPEG, colour.range)


def in_format(frame: av.VideoFrame, colour: Colour, pixel_format: str) -> av.VideoFrame:
    """A source picture in the encoder's pixel format; its own samples where that is the same."""
    if frame.format.name == pixel_format:
        return frame
    return _converted(frame, colour, pixel_format, colour.range, colour.range)


def _converted(
    frame: av.VideoFrame, colour: Colour, pixel_format: str, before: ColorRange, after: ColorRange
) -> av.VideoFrame:
    return frame.reformat(
        format=pixel_format,
        src_colorspace=colour.matrix,
        dst_colorspace=colour.matrix,
        src_color_range=before,
        dst_color_range=after,
        interpolation=EXACT,
    )
