"""Synthesis on the CPU, as one Halide pipeline without intermediate results of the frame's size.

For pixel (x, y), with the mask m and the first pixel (left, top) under the shifted kernels, K' taps
long, of each frame:

    vertical_sum[j, c] = sum_i shifted_vertical[i] * frame[c, top + i, left + j]
    filtered[c] = sum_j shifted_horizontal[j] * vertical_sum[j, c]
    out[c] = m * filtered_first[c] + (1 - m) * filtered_second[c] + deviation * residual[c]

A row of fields is upsampled vertically, then horizontally, once per row of pixels. Positions and
kernels are vectorised over LANES neighbouring pixels. Sampling is not: the colours of neighbouring
pixels are adjacent, so K' pixels of a row are one segment of K' * C values, whereas vectorised
sampling would gather value by value (three times as slow). Several rows of a strip of the frame are
computed together, since they read nearly the same memory.
"""

from dataclasses import fields as dataclass_fields

import halide as hl
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.models.flowsep.steps.synthesis.halide_filter import (
    Filter,
    FilteredFrame,
    Sizes,
    UpsampledFields,
    filter_frame,
    upsample_fields,
)
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    buffer,
    buffer_view,
    cached_pipeline,
    interleaved_pixels,
)
from midframe.ops.resampling import EXTRA_TAPS, Resampling

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
k = hl.Var("k")
u = hl.Var("u")  # column of the frames
v = hl.Var("v")  # value of a row segment: tap * channels + colour
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
        buffer_view(result),
    )
    return result[:, :, :width].permute(0, 3, 1, 2)


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
    sizes = Sizes(*(hl.Param(hl.Int(32), each.name) for each in dataclass_fields(Sizes)))
    field = upsample_fields(fields, sizes, factor)
    mask = field(layout.mask.start)
    filters = (
        Filter(
            first, mask, layout.flow_to_first, layout.first_vertical, layout.first_horizontal
        ),
        Filter(
            second, 1 - mask, layout.flow_to_second, layout.second_vertical,
            layout.second_horizontal,
        ),
    )  # fmt: skip
    filtered = [
        filter_frame(each, field, sizes, channels, layout.taps, factor, resampling, str(number))
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


def _schedule(
    result: hl.Func,
    total: hl.Func,
    field: UpsampledFields,
    filtered: list[FilteredFrame],
    channels: int,
    factor: int,
    shifted_taps: int,
) -> None:
    """Schedule the pipeline.

    A task is a strip: ROWS rows of BLOCKS times LANES pixels. Within it fields are upsampled once;
    then for LANES pixels of one row everything that needs no frame is vectorised (`by_pixel`), the
    pixels' segments are loaded and summed one after another, and then the colours.
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
    values = channels * shifted_taps
    # Those of all LANES pixels, before any colour is summed: a value that was just stored is slow
    # to read.
    for frame in filtered:
        frame.vertical_sum.compute_at(result, in_row).bound(v, 0, values).vectorize(v, values)
        frame.vertical_sum.bound_storage(v, values + SUMMED_COLOURS)
