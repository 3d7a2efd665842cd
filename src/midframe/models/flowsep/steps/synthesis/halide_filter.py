"""The functions of synthesis in Halide, without a schedule: upsampled fields, and a frame filtered
along its flow. `halide.py` explains and schedules them.

Frames are (colours of all pixels, n), fields (x, y, field, n).
"""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

import halide as hl

from midframe.ops.halide_tools import lerp, upsampling_source
from midframe.ops.resampling import EXTRA_TAPS, shift_weights, taps_before

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
k = hl.Var("k")
u = hl.Var("u")  # column of the frames
v = hl.Var("v")  # value of a row segment: tap * channels + colour


@dataclass(frozen=True)
class Sizes:
    """Parameters of the pipeline, in the order of its arguments."""

    columns: hl.Param
    """Width of the fields."""
    lines: hl.Param
    """Height of the fields."""
    width: hl.Param
    """Of the frames."""
    height: hl.Param
    """Of the frames."""
    left: hl.Param
    """First column of the tile in the frames."""
    top: hl.Param
    """First row of the tile in the frames."""

    @property
    def arguments(self) -> list[hl.Param]:
        return [getattr(self, each.name) for each in dataclass_fields(self)]


@dataclass(frozen=True)
class UpsampledFields:
    """Fields at the resolution of the frames, upsampled vertically (`line`), then horizontally."""

    line: hl.Func
    upsampled: hl.Func
    left: hl.Param

    def __call__(self, number: Any) -> Any:
        """Return a field of the pixel x, y of the tile."""
        return self.upsampled[x + self.left, number, y, n]


@dataclass(frozen=True)
class Filter:
    """One frame, and the fields with which it is filtered."""

    frame: hl.ImageParam
    weight: Any
    """Of the frame in the blend."""
    flow: slice
    """Fields of the flow to the frame."""
    vertical: slice
    """Fields of its vertical kernel."""
    horizontal: slice
    """Fields of its horizontal kernel."""


@dataclass(frozen=True)
class FilteredFrame:
    """The colours of a frame, filtered along the flow, and the functions they are computed from."""

    colour: Any
    by_pixel: list[hl.Func]
    """Functions that do not read the frame: vectorised over pixels."""
    vertical_sum: hl.Func
    """Weighted sum of a pixel's row segments: vectorised over adjacent values in memory."""


def upsample_fields(fields: hl.ImageParam, sizes: Sizes, factor: int) -> UpsampledFields:
    """Upsample fields `factor` times, bilinear."""
    line = hl.Func("line")
    upsampled = hl.Func("upsampled")
    edged = hl.BoundaryConditions.repeat_edge(fields, [(0, sizes.columns)])
    first_row, down = upsampling_source(y + sizes.top, factor)
    above = hl.clamp(first_row, 0, sizes.lines - 1)
    below = hl.clamp(first_row + 1, 0, sizes.lines - 1)
    line[u, k, y, n] = lerp(edged[u, above, k, n], edged[u, below, k, n], down)
    before, right = upsampling_source(u, factor)
    upsampled[u, k, y, n] = lerp(line[before, k, y, n], line[before + 1, k, y, n], right)
    return UpsampledFields(line, upsampled, sizes.left)


def filter_frame(
    given: Filter,
    field: UpsampledFields,
    sizes: Sizes,
    channels: int,
    taps: int,
    factor: int,
    resampling: str,
    suffix: str,
) -> FilteredFrame:
    """Filter a frame with a kernel for each pixel, at the position of its flow.

    Args:
        given: the frame and its fields.
        field: reads the fields of a pixel.
        sizes: of the frames and of the tile.
        channels: of the frames.
        taps: of a kernel.
        factor: how many times smaller than the frames the fields are.
        resampling: how frames are interpolated between pixels.
        suffix: of the functions' names.
    """
    shifted_taps = taps + EXTRA_TAPS[resampling]
    before_centre = taps // 2 + taps_before(resampling)
    source_x = hl.cast(hl.Float(32), x + sizes.left) + field(given.flow.start) * factor
    source_y = hl.cast(hl.Float(32), y + sizes.top) + field(given.flow.start + 1) * factor
    shifted_vertical, *vertical_weights = _shift_kernel(
        field, given.vertical.start, taps, source_y, f"shifted_vertical{suffix}", resampling
    )
    shifted_horizontal, *horizontal_weights = _shift_kernel(
        field, given.horizontal.start, taps, source_x, f"shifted_horizontal{suffix}", resampling
    )
    pixel_x = hl.Func(f"pixel_x{suffix}")
    pixel_y = hl.Func(f"pixel_y{suffix}")
    pixel_x[x, k, y, n] = _pixel_of_tap(source_x, k - before_centre, sizes.width)
    pixel_y[x, k, y, n] = _pixel_of_tap(source_y, k - before_centre, sizes.height)
    start = hl.Func(f"start{suffix}")
    start[x, y, n] = hl.min(pixel_x[x, 0, y, n], sizes.width - shifted_taps)
    pixel_weight = hl.Func(f"pixel_weight{suffix}")
    pixel_weight[x, k, y, n] = given.weight * _weight_in_segment(
        start, pixel_x, shifted_horizontal, shifted_taps
    )
    # The addresses of segments are computed for LANES pixels at once, so that each pixel only has
    # to load.
    segment = hl.Func(f"segment{suffix}")
    segment[x, k, y, n] = (pixel_y[x, k, y, n] * sizes.width + start[x, y, n]) * channels
    last = (sizes.height * sizes.width - shifted_taps) * channels
    vertical_sum = hl.Func(f"vertical_sum{suffix}")
    vertical_sum[v, x, y, n] = sum(
        shifted_vertical[x, tap, y, n]
        * given.frame[hl.clamp(segment[x, tap, y, n], 0, last) + v, n]
        for tap in range(shifted_taps)
    )
    # The unused fourth colour of three may be behind the last one.
    values_of_taps = [
        hl.unsafe_promise_clamped(channels * tap + c, 0, channels * shifted_taps - 1)
        for tap in range(shifted_taps)
    ]
    colour = sum(
        pixel_weight[x, tap, y, n] * vertical_sum[value, x, y, n]
        for tap, value in enumerate(values_of_taps)
    )
    kernels = [*vertical_weights, *horizontal_weights, shifted_vertical, shifted_horizontal]
    by_pixel = [*kernels, pixel_x, pixel_y, start, segment, pixel_weight]
    return FilteredFrame(colour, by_pixel, vertical_sum)


def _weight_in_segment(start: hl.Func, pixel_x: hl.Func, kernel: hl.Func, taps: int) -> Any:
    """Return the weight of pixel k of a segment, which lies inside of the frame: the sum of the
    taps that read it. Taps outside read the outermost pixel, so it has all their weight."""
    return sum(
        hl.select(pixel_x[x, tap, y, n] == start[x, y, n] + k, kernel[x, tap, y, n], 0.0)
        for tap in range(taps)
    )


def _pixel_of_tap(position: Any, offset: Any, size: hl.Param) -> Any:
    """Return the whole pixel that a tap reads, clamped to the frame."""
    pixel = hl.floor(position) + hl.cast(hl.Float(32), offset)
    return hl.cast(hl.Int(32), hl.clamp(pixel, 0.0, hl.cast(hl.Float(32), size - 1)))


def _shift_kernel(
    field: Callable[[Any], Any], start: int, taps: int, position: Any, name: str, resampling: str
) -> list[hl.Func]:
    """Return the kernel of fields from `start` on, shifted by the fraction of a position.

    The functions that it is computed from follow it.
    """
    shifted = hl.Func(name)
    weight = hl.Func(f"{name}_weight")
    total = 0.0
    weights = shift_weights(position - hl.floor(position), resampling)
    cubic = resampling == "cubic"
    if cubic:  # computed once for all taps
        weight[x, k, y, n] = hl.mux(k, list(weights))
        weight.bound(k, 0, len(weights))
        weights = tuple(weight[x, offset, y, n] for offset in range(len(weights)))
    for offset, each in enumerate(weights):
        tap = field(start + hl.clamp(k - offset, 0, taps - 1))
        total += hl.select((k >= offset) & (k < taps + offset), tap * each, 0.0)
    shifted[x, k, y, n] = total
    return [shifted, weight] if cubic else [shifted]
