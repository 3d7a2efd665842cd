"""Conversion between planes and RGB on the CPU, as Halide pipelines that read every sample once.

With the neighbours b and a before and after a chroma sample s along an axis, upsampling by 2 gives
the pixels s - (a - b) / 8 and s + (a - b) / 8.
"""

from collections.abc import Callable, Sequence
from typing import Any

import halide as hl
import numpy as np
import torch
from torch import Tensor

from midframe.media.colour.conversion import Colour, code_ranges
from midframe.media.pictures.images import Array
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer_view,
    cached_pipeline,
    in_one_loop,
    interleaved_rows,
)
from midframe.video.rgb_planes.matrices import chroma_weights, rgb_to_planes_matrix
from midframe.video.rgb_planes.reference import ALPHA, to_codes

COLOURS = 3
MAX_SUBSAMPLING = 2
"""Maximum number of luma samples per chroma sample along an axis."""

c = hl.Var("c")  # colour
k = hl.Var("k")  # number of the chroma plane
x = hl.Var("x")
y = hl.Var("y")
u = hl.Var("u")  # colours of the pixels of a row
pair = hl.Var("pair")
lane = hl.Var("lane")
GUARDED = hl.TailStrategy.GuardWithIf


def supports(planes: Sequence[Array]) -> bool:
    """Return whether the pipelines support such planes: luma and both chromas, subsampled by 1 or 2
    along each axis, and two or more pixels in a row, so that their distance is defined."""
    return (
        len(planes) >= COLOURS
        and planes[0].shape[1] > 1
        and max(_subsampling(planes)) <= MAX_SUBSAMPLING
    )


def planes_to_rgb(
    planes: Sequence[Array], bits: int, colour: Colour, device: torch.device
) -> Tensor:
    """See `midframe.video.rgb_planes.planes_to_rgb`."""
    height, width = planes[0].shape
    zeros, spans = (values.tolist() for values in code_ranges(bits, colour))
    result = torch.empty(height, width, COLOURS + colour.alpha)
    run = _to_rgb_pipeline(planes[0].itemsize, *_subsampling(planes), result.shape[2])
    run(
        *(hl.Buffer(plane) for plane in planes[:COLOURS]),
        width,
        height,
        zeros[0],
        1 / spans[0],
        zeros[1],
        1 / spans[1],
        *(weight for row in chroma_weights(colour) for weight in row),
        buffer_view(result[..., :COLOURS]),
    )
    if colour.alpha:
        alpha = torch.from_numpy(planes[ALPHA]).float()
        result[..., ALPHA] = alpha.sub_(zeros[ALPHA]).mul_(1 / spans[ALPHA])
    return result.permute(2, 0, 1)[None]


def rgb_to_planes(
    image: Tensor,
    like: Sequence[Array],
    bits: int,
    colour: Colour,
    limits: Sequence[tuple[int, int]],
) -> list[Array]:
    """See `midframe.video.rgb_planes.rgb_to_planes`."""
    channels, height, width = image.shape[1:]
    rows = interleaved_rows(image)
    matrix = rgb_to_planes_matrix(colour).tolist()
    zeros, spans = (values.tolist() for values in code_ranges(bits, colour))
    dtype = like[0].dtype
    luma = np.empty(like[0].shape, dtype)
    chroma = np.empty((2, *like[1].shape), dtype)
    from_luma = _luma_pipeline(dtype.itemsize, channels)
    from_luma(rows, *matrix[0], zeros[0], spans[0], *limits[0], hl.Buffer(luma))
    from_chroma = _chroma_pipeline(dtype.itemsize, channels, *_subsampling(like))
    from_chroma(
        rows,
        width,
        height,
        *matrix[1],
        *matrix[2],
        zeros[1],
        spans[1],
        *limits[1],
        *limits[2],
        hl.Buffer(chroma),
    )
    planes = [luma, *chroma]
    if len(like) > ALPHA:
        alpha = image[0, ALPHA]
        planes.append(to_codes(alpha, zeros[ALPHA], spans[ALPHA], limits[ALPHA], dtype))
    return planes


def _subsampling(planes: Sequence[Array]) -> tuple[int, int]:
    """Return the number of luma samples per chroma sample along a row and along a column."""
    (height, width), (rows, columns) = planes[0].shape, planes[1].shape
    return -(-width // columns), -(-height // rows)


@cached_pipeline
def _to_rgb_pipeline(sample_bytes: int, across: int, down: int, channels: int) -> Pipeline:
    """Build the pipeline to RGB; a pixel of the result has `channels` values in memory."""
    luma, blue, red = (
        hl.ImageParam(hl.UInt(8 * sample_bytes), 2, name) for name in ("luma", "blue", "red")
    )
    width = hl.Param(hl.Int(32), "width")
    height = hl.Param(hl.Int(32), "height")
    ranges = _float_params("range", 4)
    luma_zero, luma_scale, chroma_zero, chroma_scale = ranges
    weights = _float_params("weight", 2 * COLOURS)
    chroma = [_Upsampled(plane, across, down, width, height) for plane in (blue, red)]
    of_blue, of_red = ((each.result[x, y] - chroma_zero) * chroma_scale for each in chroma)
    brightness = (hl.cast(hl.Float(32), luma[x, y]) - luma_zero) * luma_scale
    colours = [
        brightness + weights[2 * colour] * of_blue + weights[2 * colour + 1] * of_red
        for colour in range(COLOURS)
    ]
    result = hl.Func("rgb")
    result[c, x, y] = hl.mux(c, colours)

    # A task is a row. Chroma is upsampled for the whole row: vertically, then horizontally, where
    # the pixels of a sample are computed together.
    result.output_buffer().dim(0).set_stride(1)
    result.output_buffer().dim(1).set_stride(channels)  # so that colours are stored side by side
    result.bound(c, 0, COLOURS).reorder(c, x, y).unroll(c).parallel(y)
    result.vectorize(x, LANES, GUARDED)
    for each in chroma:
        each.columns.compute_at(result, y).vectorize(x, LANES, GUARDED)
        each.result.compute_at(result, y).align_bounds(x, across).split(x, pair, lane, across)
        each.result.reorder(lane, pair, y).unroll(lane).vectorize(pair, LANES // across, GUARDED)
    in_one_loop(result, *(each.columns for each in chroma), *(each.result for each in chroma))
    return Pipeline(result, luma, blue, red, width, height, *ranges, *weights)


class _Upsampled:
    """A plane upsampled along both axes, in codes.

    Args:
        plane: of chroma.
        across, down: number of pixels per sample along a row and a column, 1 or 2.
        width, height: of the result.
    """

    def __init__(
        self, plane: hl.ImageParam, across: int, down: int, width: hl.Param, height: hl.Param
    ) -> None:
        self.columns = hl.Func(f"{plane.name()}_columns")
        self.result = hl.Func(f"{plane.name()}_upsampled")
        self.columns[x, y] = _upsample(
            lambda row: hl.cast(hl.Float(32), plane[x, row]), y, down, height
        )
        self.result[x, y] = _upsample(lambda column: self.columns[column, y], x, across, width)


def _upsample(sample: Callable[[Any], Any], position: Any, factor: int, size: hl.Param) -> Any:
    """Upsample along an axis.

    Args:
        sample: returns the sample of an index.
        position: of the pixel.
        factor: 1 or 2.
        size: number of pixels.
    """
    if factor == 1:
        return sample(position)
    index = position // 2
    last = (size - 1) // 2
    slope = (sample(hl.min(index + 1, last)) - sample(hl.max(index - 1, 0))) * 0.125
    is_single = (index == last) & (size % 2 == 1)  # the last sample has only one pixel
    slope = hl.select(is_single, 0.0, slope)
    return sample(index) + hl.select(position % 2 == 0, -slope, slope)


@cached_pipeline
def _luma_pipeline(sample_bytes: int, channels: int) -> Pipeline:
    """Build the pipeline from RGB to luma, for pixels of `channels` values."""
    rows = hl.ImageParam(hl.Float(32), 3, "rows")
    weights = _float_params("weight", COLOURS)
    code = _float_params("code", 2)
    limits = _float_params("limit", 2)
    result = hl.Func("luma")
    colours = [rows[x * channels + colour, y, 0] for colour in range(COLOURS)]
    result[x, y] = _to_codes(_weighted(colours, weights), code, limits, sample_bytes)
    result.parallel(y).vectorize(x, LANES, GUARDED)
    return Pipeline(result, rows, *weights, *code, *limits)


@cached_pipeline
def _chroma_pipeline(sample_bytes: int, channels: int, across: int, down: int) -> Pipeline:
    """Build the pipeline from RGB to both chromas, for pixels of `channels` values."""
    rows = hl.ImageParam(hl.Float(32), 3, "rows")
    width = hl.Param(hl.Int(32), "width")
    height = hl.Param(hl.Int(32), "height")
    weights = _float_params("weight", 2 * COLOURS)
    code = _float_params("code", 2)
    limits = _float_params("limit", 4)
    column = hl.Func("column")
    result = hl.Func("chroma")
    lines = [hl.min(y * down + step, height - 1) for step in range(down)]
    column[u, y] = sum(rows[u, line, 0] for line in lines) * (1.0 / down)
    pixels = [hl.min(x * across + step, width - 1) for step in range(across)]
    colours = [
        sum(column[pixel * channels + colour, y] for pixel in pixels) * (1.0 / across)
        for colour in range(COLOURS)
    ]
    planes = [
        _to_codes(
            _weighted(colours, weights[number * COLOURS :]),
            code,
            limits[2 * number : 2 * number + 2],
            sample_bytes,
        )
        for number in range(2)
    ]
    result[x, y, k] = hl.mux(k, planes)

    # A task is a row of the result. Its vertical means are computed for the whole row first, where
    # all colours of all pixels are contiguous.
    result.bound(k, 0, 2).reorder(k, x, y).unroll(k).parallel(y).vectorize(x, LANES, GUARDED)
    column.compute_at(result, y).vectorize(u, LANES, GUARDED)
    in_one_loop(column, result)
    return Pipeline(result, rows, width, height, *weights, *code, *limits)


def _weighted(colours: Sequence[Any], weights: Sequence[Any]) -> Any:
    """Return the weighted sum of the colours of a pixel."""
    return sum(colour * weight for colour, weight in zip(colours, weights, strict=False))


def _to_codes(value: Any, code: Sequence[Any], limits: Sequence[Any], sample_bytes: int) -> Any:
    """Convert a value to a code, rounded and clipped.

    Args:
        value: of luma or chroma.
        code: the code of 0, and the number of codes from 0 to 1.
        limits: the range of codes.
        sample_bytes: size of the result.
    """
    zero, span = code
    low, high = limits
    rounded = hl.clamp(hl.round(value * span + zero), low, high)
    return hl.cast(hl.UInt(8 * sample_bytes), rounded)


def _float_params(name: str, count: int) -> list[hl.Param]:
    return [hl.Param(hl.Float(32), f"{name}{number}") for number in range(count)]
