"""Synthesis on the CPU, as one Halide pipeline without intermediate results of the frame's size.

A row of fields is upsampled vertically, then horizontally, once per row of pixels. Positions and
kernels are vectorised over LANES neighbouring pixels. Sampling is not: the colours of neighbouring
pixels are adjacent, so a row under a kernel is contiguous, whereas vectorised sampling would gather
value by value (three times as slow). Several rows of a strip of the frame are computed together,
since they read nearly the same memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

import halide as hl
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    cached_pipeline,
    interleaved_pixels,
    lerp,
    upsampling_source,
    writable,
)
from midframe.ops.resampling import EXTRA_TAPS, Resampling, shift_weights, taps_before

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
k = hl.Var("k")
u = hl.Var("u")
v = hl.Var("v")
block = hl.Var("block")
lane = hl.Var("lane")
task = hl.Var("task")
ROWS, BLOCKS = 4, 20
"""Rows of a strip, and its width in units of LANES pixels."""
SUMMED_COLOURS = 4
"""Colours of a pixel that are summed in one vector: of frames with three, the fourth is that of the
next pixel."""


def synthesise(
    first: Tensor,
    second: Tensor,
    fields: Tensor,
    factor: int,
    rows: slice,
    columns: slice,
    deviation: Tensor,
    *,
    resampling: Resampling = "linear",
) -> Tensor:
    """See `Steps.synthesise`. The colours of a pixel of the result are adjacent in memory."""
    channels = first.shape[1]
    layout = FieldLayout.of(fields)
    missing = layout.taps + EXTRA_TAPS[resampling] - first.shape[3]
    if missing > 0:  # a row has to be as long as a kernel
        first = functional.pad(first, (0, missing, 0, 0), mode="replicate")
        second = functional.pad(second, (0, missing, 0, 0), mode="replicate")
    height, width = rows.stop - rows.start, columns.stop - columns.start
    result = first.new_empty(len(first), height, max(width, LANES), channels)
    run = _pipeline(channels, layout, factor, resampling)
    run(
        interleaved_pixels(first),
        interleaved_pixels(second),
        buffer(fields.contiguous()),
        buffer(deviation.reshape(-1, 1, 1, 1)),
        fields.shape[3],
        fields.shape[2],
        first.shape[3],
        first.shape[2],
        columns.start,
        rows.start,
        writable(result),
    )
    return result[:, :, :width].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Sizes:
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
class _UpsampledFields:
    """Fields at the resolution of the frames, upsampled vertically (`line`), then horizontally."""

    line: hl.Func
    upsampled: hl.Func
    left: hl.Param

    def __call__(self, number: Any) -> Any:
        """Return a field of the pixel x, y of the tile."""
        return self.upsampled[x + self.left, number, y, n]


@dataclass(frozen=True)
class _Filter:
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
class _FilteredFrame:
    """The colours of a frame, filtered along the flow, and the functions they are computed from."""

    colour: Any
    by_pixel: list[hl.Func]
    """Functions that do not read the frame: vectorised over pixels."""
    column: hl.Func
    """Vertical sums of a pixel's row segments: vectorised over adjacent values in memory."""


@cached_pipeline
def _pipeline(channels: int, layout: FieldLayout, factor: int, resampling: str) -> Pipeline:
    """Build the pipeline.

    Args:
        channels: of the frames.
        layout: of the fields.
        factor: how many times smaller than the frames the fields are.
        resampling: how frames are interpolated between pixels.
    """
    first = hl.ImageParam(hl.Float(32), 2, "first")
    second = hl.ImageParam(hl.Float(32), 2, "second")
    fields = hl.ImageParam(hl.Float(32), 4, "fields")
    deviation = hl.ImageParam(hl.Float(32), 4, "deviation")
    sizes = _Sizes(*(hl.Param(hl.Int(32), each.name) for each in dataclass_fields(_Sizes)))
    field = _upsample_fields(fields, sizes, factor)
    mask = field(layout.mask.start)
    filters = (
        _Filter(
            first, mask, layout.flow_to_first, layout.first_vertical, layout.first_horizontal
        ),
        _Filter(
            second, 1 - mask, layout.flow_to_second, layout.second_vertical,
            layout.second_horizontal,
        ),
    )  # fmt: skip
    filtered = [
        _filter_frame(each, field, sizes, channels, layout.taps, factor, resampling, str(number))
        for number, each in enumerate(filters)
    ]

    total = hl.Func("total")
    result = hl.Func("result")
    colour = layout.residual.start + hl.min(c, COLOURS - 1)
    total[c, x, y, n] = hl.select(c < COLOURS, field(colour) * deviation[0, 0, 0, n], 0.0)
    total[c, x, y, n] += sum(each.colour for each in filtered)
    result[c, x, y, n] = total[c, x, y, n]
    _schedule(
        result, total, field, filtered, channels, factor, layout.taps + EXTRA_TAPS[resampling]
    )
    return Pipeline(result, first, second, fields, deviation, *sizes.arguments)


def _upsample_fields(fields: hl.ImageParam, sizes: _Sizes, factor: int) -> _UpsampledFields:
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
    return _UpsampledFields(line, upsampled, sizes.left)


def _filter_frame(
    given: _Filter,
    field: _UpsampledFields,
    sizes: _Sizes,
    channels: int,
    taps: int,
    factor: int,
    resampling: str,
    suffix: str,
) -> _FilteredFrame:
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
    covered = taps + EXTRA_TAPS[resampling]  # a kernel between pixels covers more of them
    before_centre = taps // 2 + taps_before(resampling)
    to_x = hl.cast(hl.Float(32), x + sizes.left) + field(given.flow.start) * factor
    to_y = hl.cast(hl.Float(32), y + sizes.top) + field(given.flow.start + 1) * factor
    tall, *tall_weights = _shift_kernel(
        field, given.vertical.start, taps, to_y - hl.floor(to_y), f"tall{suffix}", resampling
    )
    flat, *flat_weights = _shift_kernel(
        field, given.horizontal.start, taps, to_x - hl.floor(to_x), f"flat{suffix}", resampling
    )
    at_x = hl.Func(f"at_x{suffix}")
    at_y = hl.Func(f"at_y{suffix}")
    at_x[x, k, y, n] = _pixel_of_tap(to_x, k - before_centre, sizes.width)
    at_y[x, k, y, n] = _pixel_of_tap(to_y, k - before_centre, sizes.height)
    # Taps outside read the outermost pixel, so it has all their weight.
    start = hl.Func(f"start{suffix}")
    start[x, y, n] = hl.min(at_x[x, 0, y, n], sizes.width - covered)
    across = hl.Func(f"across{suffix}")
    across[x, k, y, n] = given.weight * sum(
        hl.select(at_x[x, tap, y, n] == start[x, y, n] + k, flat[x, tap, y, n], 0.0)
        for tap in range(covered)
    )
    # The starts of row segments are computed for LANES pixels at once, so that each pixel only has
    # to load.
    segment = hl.Func(f"segment{suffix}")
    segment[x, k, y, n] = (at_y[x, k, y, n] * sizes.width + start[x, y, n]) * channels
    last = (sizes.height * sizes.width - covered) * channels
    column = hl.Func(f"column{suffix}")
    column[v, x, y, n] = sum(
        tall[x, tap, y, n] * given.frame[hl.clamp(segment[x, tap, y, n], 0, last) + v, n]
        for tap in range(covered)
    )
    # The unused fourth colour of three may be behind the last one.
    values_of_taps = [
        hl.unsafe_promise_clamped(channels * tap + c, 0, channels * covered - 1)
        for tap in range(covered)
    ]
    colour = sum(
        across[x, tap, y, n] * column[value, x, y, n] for tap, value in enumerate(values_of_taps)
    )
    by_pixel = [*tall_weights, *flat_weights, tall, flat, at_x, at_y, start, segment, across]
    return _FilteredFrame(colour, by_pixel, column)


def _schedule(
    result: hl.Func,
    total: hl.Func,
    field: _UpsampledFields,
    filtered: list[_FilteredFrame],
    channels: int,
    factor: int,
    covered: int,
) -> None:
    """Schedule the pipeline.

    A task is a strip: ROWS rows of BLOCKS times LANES pixels. Within it fields are upsampled once;
    then for LANES pixels of one row everything that needs no frame is vectorised (`by_pixel`), the
    pixels' columns are loaded one after another, and the colours summed.
    """
    strip = hl.Var("strip")
    in_row = hl.Var("in_row")
    guarded = hl.TailStrategy.GuardWithIf
    result.output_buffer().dim(1).set_stride(channels)  # so that colours are stored side by side
    result.bound(c, 0, channels).split(x, block, lane, LANES, hl.TailStrategy.ShiftInwards)
    result.split(block, strip, block, BLOCKS, guarded).split(y, y, in_row, ROWS, guarded)
    result.reorder(c, lane, in_row, block, strip, y, n).unroll(c).vectorize(lane)
    result.fuse(y, n, task).fuse(strip, task, task).parallel(task)
    field.line.compute_at(result, task).vectorize(u, LANES, guarded)
    # Pixels between the same two values are adjacent, so nothing is gathered.
    upsampled = field.upsampled
    upsampled.compute_at(result, task).align_bounds(u, factor).split(u, block, lane, factor)
    upsampled.reorder(lane, block, k, y, n).unroll(lane).vectorize(block, max(1, LANES // factor))
    for frame in filtered:
        for function in frame.by_pixel:
            function.compute_at(result, in_row).vectorize(x, LANES)
            if function.dimensions() == 4:
                function.unroll(k)
    total.compute_at(result, in_row).bound(c, 0, SUMMED_COLOURS).unroll(c).vectorize(x, LANES)
    total.update(0).reorder(c, x, y, n).vectorize(c)
    values = channels * covered
    # All of LANES pixels before any is summed: a value that was just stored is slow to read.
    for frame in filtered:
        frame.column.compute_at(result, in_row).bound(v, 0, values).vectorize(v, values)
        frame.column.bound_storage(v, values + SUMMED_COLOURS)


def _pixel_of_tap(place: Any, offset: Any, size: hl.Param) -> Any:
    """Return the whole pixel that a tap reads, clamped to the frame."""
    inside = hl.floor(place) + hl.cast(hl.Float(32), offset)
    return hl.cast(hl.Int(32), hl.clamp(inside, 0.0, hl.cast(hl.Float(32), size - 1)))


def _shift_kernel(
    field: Callable[[Any], Any], start: int, taps: int, fraction: Any, name: str, resampling: str
) -> list[hl.Func]:
    """Return the kernel of fields from `start` on, shifted by a fraction of a pixel.

    The functions that it is computed from follow it.
    """
    shifted = hl.Func(name)
    weight = hl.Func(f"{name}_weight")
    total = 0.0
    weights = shift_weights(fraction, resampling)
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
