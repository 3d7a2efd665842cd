"""Synthesis on the CPU, as one Halide pipeline without intermediate results of the frame's size.

A row of fields is upsampled vertically, then horizontally, once per row of pixels. Positions and
kernels are vectorised over LANES neighbouring pixels. Sampling is not: the colours of neighbouring
pixels are adjacent, so a row under a kernel is contiguous, whereas vectorised sampling would gather
value by value (three times as slow). Several rows of a strip of the frame are computed together,
since they read nearly the same memory.
"""

from collections.abc import Callable
from typing import Any

import halide as hl
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    between,
    buffer,
    in_one_row,
    lerp,
    once,
    writable,
)
from midframe.ops.resampling import EXTRA_TAPS, Resampling, shift_weights, taps_before

NAMES = ("x", "y", "c", "n", "k", "u", "v", "block", "lane", "task")
x, y, c, n, k, u, v, block, lane, task = map(hl.Var, NAMES)
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
    channels, layout = first.shape[1], FieldLayout.of(fields)
    missing = layout.taps + EXTRA_TAPS[resampling] - first.shape[3]
    if missing > 0:  # a row has to be as long as a kernel
        first = functional.pad(first, (0, missing, 0, 0), mode="replicate")
        second = functional.pad(second, (0, missing, 0, 0), mode="replicate")
    height, width = rows.stop - rows.start, columns.stop - columns.start
    result = first.new_empty(len(first), height, max(width, LANES), channels)
    run = _pipeline(channels, layout, factor, resampling)
    run(
        in_one_row(first),
        in_one_row(second),
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


@once
def _pipeline(channels: int, layout: FieldLayout, factor: int, resampling: str) -> Pipeline:
    """Build the pipeline.

    Args:
        channels: of the frames.
        layout: of the fields.
        factor: how many times smaller than the frames the fields are.
        resampling: how frames are interpolated between pixels.
    """
    first, second = (hl.ImageParam(hl.Float(32), 2, name) for name in ("first", "second"))
    fields, deviation = (hl.ImageParam(hl.Float(32), 4, name) for name in ("fields", "deviation"))
    names = ("columns", "lines", "width", "height", "left", "top")
    params = [hl.Param(hl.Int(32), name) for name in names]
    columns, lines, width, height, left, top = params

    line, upsampled = hl.Func("line"), hl.Func("upsampled")
    edged = hl.BoundaryConditions.repeat_edge(fields, [(0, columns)])
    first_row, down = between(y + top, factor)
    above, below = (hl.clamp(row, 0, lines - 1) for row in (first_row, first_row + 1))
    line[u, k, y, n] = lerp(edged[u, above, k, n], edged[u, below, k, n], down)
    before, right = between(u, factor)
    upsampled[u, k, y, n] = lerp(line[before, k, y, n], line[before + 1, k, y, n], right)

    def field(number: Any) -> Any:
        return upsampled[x + left, number, y, n]

    taps = layout.taps
    covered = taps + EXTRA_TAPS[resampling]  # a kernel between pixels covers more of them
    before_centre = taps // 2 + taps_before(resampling)
    mask = field(layout.mask.start)
    sources = (
        (first, mask, layout.flow_to_first, layout.first_vertical, layout.first_horizontal),
        (second, 1 - mask, layout.flow_to_second, layout.second_vertical, layout.second_horizontal),
    )
    by_pixel, by_memory, filtered = [], [], []
    for place, (frame, weight, flow, vertical, horizontal) in enumerate(sources):
        names = ("at_x", "at_y", "start", "piece", "across", "column")
        at_x, at_y, start, piece, across, column = (hl.Func(f"{name}{place}") for name in names)
        to_x = hl.cast(hl.Float(32), x + left) + field(flow.start) * factor
        to_y = hl.cast(hl.Float(32), y + top) + field(flow.start + 1) * factor
        tall, *tall_weights = _shift_kernel(
            field, vertical.start, taps, to_y - hl.floor(to_y), f"tall{place}", resampling
        )
        flat, *flat_weights = _shift_kernel(
            field, horizontal.start, taps, to_x - hl.floor(to_x), f"flat{place}", resampling
        )
        at_x[x, k, y, n] = _pixel_of_tap(to_x, k - before_centre, width)
        at_y[x, k, y, n] = _pixel_of_tap(to_y, k - before_centre, height)
        # Taps outside read the outermost pixel, so it has all their weight.
        start[x, y, n] = hl.min(at_x[x, 0, y, n], width - covered)
        across[x, k, y, n] = weight * sum(
            hl.select(at_x[x, tap, y, n] == start[x, y, n] + k, flat[x, tap, y, n], 0.0)
            for tap in range(covered)
        )
        # The starts of row segments are computed for LANES pixels at once, so that each pixel only
        # has to load.
        piece[x, k, y, n] = (at_y[x, k, y, n] * width + start[x, y, n]) * channels
        last = (height * width - covered) * channels
        column[v, x, y, n] = sum(
            tall[x, tap, y, n] * frame[hl.clamp(piece[x, tap, y, n], 0, last) + v, n]
            for tap in range(covered)
        )
        by_pixel += [*tall_weights, *flat_weights, tall, flat, at_x, at_y, start, piece, across]
        by_memory.append(column)
        # The unused fourth colour of three may be behind the last one.
        values_of_taps = (
            hl.unsafe_promise_clamped(channels * tap + c, 0, channels * covered - 1)
            for tap in range(covered)
        )
        filtered.append(
            sum(
                across[x, tap, y, n] * column[value, x, y, n]
                for tap, value in enumerate(values_of_taps)
            )
        )

    total, result = hl.Func("total"), hl.Func("result")
    colour = layout.residual.start + hl.min(c, COLOURS - 1)
    total[c, x, y, n] = hl.select(c < COLOURS, field(colour) * deviation[0, 0, 0, n], 0.0)
    total[c, x, y, n] += sum(filtered)
    result[c, x, y, n] = total[c, x, y, n]

    # A task is a strip: ROWS rows of BLOCKS times LANES pixels. Within it fields are upsampled once
    # (`line`, `upsampled`); then for LANES pixels of one row everything that needs no frame is
    # vectorised (`by_pixel`), the pixels' columns are loaded one after another (`by_memory`), and
    # the colours summed.
    result.output_buffer().dim(1).set_stride(channels)  # so that colours are stored side by side
    result.bound(c, 0, channels).split(x, block, lane, LANES, hl.TailStrategy.ShiftInwards)
    strip, in_row, guarded = hl.Var("strip"), hl.Var("in_row"), hl.TailStrategy.GuardWithIf
    result.split(block, strip, block, BLOCKS, guarded).split(y, y, in_row, ROWS, guarded)
    result.reorder(c, lane, in_row, block, strip, y, n).unroll(c).vectorize(lane)
    result.fuse(y, n, task).fuse(strip, task, task).parallel(task)
    line.compute_at(result, task).vectorize(u, LANES, guarded)
    # Pixels between the same two values are adjacent, so nothing is gathered.
    upsampled.compute_at(result, task).align_bounds(u, factor).split(u, block, lane, factor)
    upsampled.reorder(lane, block, k, y, n).unroll(lane).vectorize(block, max(1, LANES // factor))
    for function in by_pixel:
        function.compute_at(result, in_row).vectorize(x, LANES)
        if function.dimensions() == 4:
            function.unroll(k)
    total.compute_at(result, in_row).bound(c, 0, SUMMED_COLOURS).unroll(c).vectorize(x, LANES)
    total.update(0).reorder(c, x, y, n).vectorize(c)
    values = channels * covered
    # All of LANES pixels before any is summed: a value that was just stored is slow to read.
    for function in by_memory:
        function.compute_at(result, in_row).bound(v, 0, values).vectorize(v, values)
        function.bound_storage(v, values + SUMMED_COLOURS)
    return Pipeline(result, first, second, fields, deviation, *params)


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
    shifted, weight, total = hl.Func(name), hl.Func(f"{name}_weight"), 0.0
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
