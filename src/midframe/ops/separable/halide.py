"""Separable convolution on the CPU, as Halide pipelines compiled for the processor at hand at their
first call.

All pipelines have the same structure. A block of ROWS output rows by LANES output columns is
computed at a time; one row of the frame is used for every output row of the block while it is in a
register. `inner` is the frame row's index within the block's reach, so output row `y` of the block
uses it at tap `inner - y`.
"""

from collections.abc import Callable
from typing import Any

import halide as hl
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops import halide_tools
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    array,
    as_float,
    buffer,
    channel_groups,
    once,
    storage,
)

ROWS = 4
"""Output rows in a block: 4 rows by 3 colours are 12 accumulators, which fit into 16 or 32 vector
registers."""
CHANNELS = 3
"""Colours filtered at a time; frames with more are processed in groups."""

NAMES = ("x", "y", "block", "n", "c", "k", "inner", "xo", "xi", "task")
x, y, block, n, c, k, inner, xo, xi, task = map(hl.Var, NAMES)


def serves(frame: Tensor, kernel: Tensor) -> bool:
    """Return whether these pipelines support such tensors: float32 frames, kernels in float32 or
    bfloat16, on the CPU."""
    return halide_tools.serves(frame) and kernel.dtype in (torch.float32, torch.bfloat16)


def separable_forward(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Filter a padded frame; shapes as in `midframe.ops.separable_convolution`."""
    height, width = vertical.shape[2:]
    frame, vertical, horizontal = _pad_width(width, frame, vertical, horizontal)
    result = frame.new_empty(*frame.shape[:2], _whole_blocks(height), vertical.shape[3])
    for group in channel_groups(frame.shape[1], CHANNELS):
        colours = frame[:, group]
        run = _forward_pipeline(colours.shape[1], vertical.dtype == torch.bfloat16)
        run(
            buffer(colours),
            buffer(vertical),
            buffer(horizontal),
            *_extents(vertical),
            _blocks(result[:, group]),
        )
    return result[:, :, :height, :width].contiguous()


def separable_kernel_gradients(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the vertical and the horizontal kernels, both (N, K, H, W), in the
    kernels' types."""
    height, width = vertical.shape[2:]
    gradient, frame, vertical, horizontal = _pad_width(width, gradient, frame, vertical, horizontal)
    total: list[Tensor] = []
    for group in channel_groups(frame.shape[1], CHANNELS):
        part = _kernel_gradients_of_group(gradient[:, group], frame[:, group], vertical, horizontal)
        total = [old.add_(new) for old, new in zip(total, part, strict=True)] if total else part
    tall, wide = (each[:, :, :height, :width].to(vertical.dtype).contiguous() for each in total)
    return tall, wide


def _kernel_gradients_of_group(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> list[Tensor]:
    taps, height, width = vertical.shape[1:]
    channels, bf16 = frame.shape[1], vertical.dtype == torch.bfloat16
    inputs = [buffer(gradient), buffer(frame)]
    # Row y of a block uses frame row `inner` at tap inner - y, which at both ends is outside the
    # kernel: ROWS - 1 additional planes on either side receive those values.
    planes = frame.new_empty(len(frame), taps + 2 * (ROWS - 1), _whole_blocks(height), width)
    tall = planes[:, ROWS - 1 : ROWS - 1 + taps]
    _vertical_pipeline(channels, bf16)(
        *inputs, buffer(horizontal), *_extents(vertical), _slanted_blocks(planes, taps)
    )
    wide = frame.new_empty(len(frame), taps, _whole_blocks(height), width)
    _horizontal_pipeline(channels, bf16)(
        *inputs, buffer(vertical), *_extents(vertical), _blocks(wide)
    )
    return [tall, wide]


def separable_frame_gradient(
    gradient: Tensor, frame: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    """Return the gradient of the padded frame, (N, C, H+K-1, W+K-1)."""
    height, width = frame.shape[2:]
    result = frame.new_empty(*frame.shape[:2], _whole_blocks(height), max(width, LANES))
    for group in channel_groups(frame.shape[1], CHANNELS):
        weight = gradient[:, group]
        run = _frame_pipeline(weight.shape[1], vertical.dtype == torch.bfloat16)
        sizes = (*_extents(vertical), vertical.shape[3])
        run(buffer(weight), buffer(vertical), buffer(horizontal), *sizes, _blocks(result[:, group]))
    return result[:, :, :height, :width].contiguous()


# Views of tensors for the pipelines.


def _whole_blocks(height: int) -> int:
    return -(-height // ROWS) * ROWS


def _pad_width(width: int, *tensors: Tensor) -> list[Tensor]:
    """Pad narrow tensors on the right, so that a row of the output fills at least one vector."""
    missing = max(width, LANES) - width
    return [functional.pad(tensor, (0, missing)) if missing else tensor for tensor in tensors]


def _extents(kernel: Tensor) -> tuple[int, int]:
    return kernel.shape[1], kernel.shape[2]


def _blocks(tensor: Tensor) -> hl.Buffer:
    """Return (N, C, H, W) for writing, as (x, y within the block, c, block, n)."""
    samples, channels, height, width = tensor.shape
    view = array(tensor).reshape(samples, channels, height // ROWS, ROWS, width, copy=False)
    return hl.Buffer(view.transpose(0, 2, 1, 3, 4))


def _slanted_blocks(planes: Tensor, taps: int) -> hl.Buffer:
    """Return planes of taps for writing, as (x, y within the block, inner, block, n), where the tap
    is inner - y."""
    memory = array(planes)
    per_sample, per_plane, per_row, per_pixel = memory.strides
    shape = (memory.shape[0], memory.shape[2] // ROWS, taps + ROWS - 1, ROWS, memory.shape[3])
    strides = (per_sample, ROWS * per_row, per_plane, per_row - per_plane, per_pixel)
    return hl.Buffer(np.lib.stride_tricks.as_strided(memory[:, ROWS - 1 :], shape, strides))


# The pipelines. Each is compiled once for a number of channels and a type of kernel.


def _inputs(
    bf16: bool, *names: str
) -> tuple[list[hl.ImageParam], list[Callable[..., Any]], hl.Param, hl.Param]:
    """Declare the images, an accessor for each that returns float32, and the numbers of taps and of
    rows."""
    kernels = ("vertical", "horizontal")
    images = [hl.ImageParam(storage(bf16 and name in kernels), 4, name) for name in names]

    def reader(image: hl.ImageParam, widen: bool) -> Callable[..., Any]:
        return lambda *at: as_float(image[at], widen)

    readers = [
        reader(image, bf16 and name in kernels) for image, name in zip(images, names, strict=True)
    ]
    return images, readers, hl.Param(hl.Int(32), "taps"), hl.Param(hl.Int(32), "rows")


def _tap_or_zero(kernel: Callable[..., Any], row: Any, tap: Any, taps: hl.Param) -> Any:
    inside = (tap >= 0) & (tap < taps)
    return hl.select(inside, kernel(x, row, hl.clamp(tap, 0, taps - 1), n), 0.0)


def _accumulate(name: str, index: Any, term: Any) -> hl.Func:
    """Sum over a reduction for a block of pixels: vectorised over x, colours and rows in
    registers."""
    total = hl.Func(name)
    total[x, c, y, index, block, n] = 0.0
    total[x, c, y, index, block, n] += term
    return total


def _in_registers(total: hl.Func, over: hl.RVar) -> None:
    """Schedule a sum such that all its accumulators stay in registers over the reduction."""
    total.vectorize(x, LANES).unroll(c).unroll(y)
    total.update(0).reorder(x, c, y, over).vectorize(x, LANES).unroll(c).unroll(y)


def _sum_colours(gradient: hl.Func, total: hl.Func, index: Any, channels: int) -> Any:
    """Return the sum over colours of gradient times total."""
    terms = [
        gradient[x, y, colour, block, n] * total[x, colour, y, index, block, n]
        for colour in range(channels)
    ]
    return sum(terms[1:], terms[0])


def _schedule_blocks(result: hl.Func, *loops: hl.Var) -> None:
    """Schedule the loops over blocks, for all pipelines. The last vector of a row overlaps its
    neighbour, so all are complete."""
    result.bound(y, 0, ROWS).split(x, xo, xi, LANES, hl.TailStrategy.ShiftInwards)
    result.reorder(xi, *loops, xo, block, n).vectorize(xi).unroll(y).fuse(block, n, task).parallel(
        task
    )


def _sum_in_registers(
    term: Any, part: hl.Func, reductions: tuple[hl.RVar, hl.RVar], channels: int
) -> hl.Func:
    """Return the result that sums a term over the first reduction; `part` in it sums over the
    second, in registers too."""
    total, result = hl.Func("total"), hl.Func("result")
    total[x, c, y, block, n] = 0.0
    total[x, c, y, block, n] += term
    result[x, y, c, block, n] = total[x, c, y, block, n]
    # Per block and row of the reduction, `part` is summed in registers and then used at once for
    # all output rows of the block; nothing but `result` is written to memory.
    _schedule_blocks(result.bound(c, 0, channels), c, y)
    result.unroll(c)
    total.compute_at(result, xo)
    _in_registers(total, reductions[0])
    part.compute_at(total, reductions[0])
    _in_registers(part, reductions[1])
    return result


@once
def _forward_pipeline(channels: int, bf16: bool) -> Pipeline:
    images, (frame, vertical, horizontal), taps, rows = _inputs(
        bf16, "frame", "vertical", "horizontal"
    )
    row_at, last = hl.min(block * ROWS + y, rows - 1), rows + taps - 2
    i, j = hl.RDom([(0, taps + ROWS - 1)]).x, hl.RDom([(0, taps)]).x

    wide = hl.Func("wide")
    wide[x, y, k, block, n] = horizontal(x, row_at, k, n)
    term = wide[x, y, j, block, n] * frame(x + j, hl.min(block * ROWS + inner, last), c, n)
    filtered = _accumulate(
        "filtered", inner, term
    )  # the frame's row `inner`, filtered by row y's horizontal kernel
    term = _tap_or_zero(vertical, row_at, i - y, taps) * filtered[x, c, y, i, block, n]
    result = _sum_in_registers(term, filtered, (i, j), channels)
    wide.compute_at(result, xo).vectorize(x, LANES)
    return Pipeline(result, *images, taps, rows)


@once
def _vertical_pipeline(channels: int, bf16: bool) -> Pipeline:
    images, (gradient, frame, horizontal), taps, rows = _inputs(
        bf16, "gradient", "frame", "horizontal"
    )
    row_at, last = hl.min(block * ROWS + y, rows - 1), rows + taps - 2
    j = hl.RDom([(0, taps)]).x

    wide, weight = hl.Func("wide"), hl.Func("weight")
    wide[x, y, k, block, n] = horizontal(x, row_at, k, n)
    weight[x, y, c, block, n] = gradient(x, row_at, c, n)
    term = wide[x, y, j, block, n] * frame(x + j, hl.min(block * ROWS + inner, last), c, n)
    filtered = _accumulate("filtered", inner, term)
    result = hl.Func("result")
    result[x, y, inner, block, n] = _sum_colours(weight, filtered, inner, channels)

    # `filtered` is one row of the reach; the kernels and gradients of a block are converted once.
    _schedule_blocks(result, y, inner)
    filtered.compute_at(result, inner)
    _in_registers(filtered, j)
    for stored in (wide, weight):
        stored.compute_at(result, xo).vectorize(x, LANES)
    return Pipeline(result, *images, taps, rows)


@once
def _horizontal_pipeline(channels: int, bf16: bool) -> Pipeline:
    images, (gradient, frame, vertical), taps, rows = _inputs(bf16, "gradient", "frame", "vertical")
    row_at, last = hl.min(block * ROWS + y, rows - 1), rows + taps - 2
    i = hl.RDom([(0, taps + ROWS - 1)]).x

    tall, weight = hl.Func("tall"), hl.Func("weight")
    tall[x, y, inner, block, n] = _tap_or_zero(vertical, row_at, inner - y, taps)
    weight[x, y, c, block, n] = gradient(x, row_at, c, n)
    term = tall[x, y, i, block, n] * frame(x + k, hl.min(block * ROWS + i, last), c, n)
    filtered = _accumulate(
        "filtered", k, term
    )  # column k of the reach, filtered by row y's vertical kernel
    result = hl.Func("result")
    result[x, y, k, block, n] = _sum_colours(weight, filtered, k, channels)

    # `filtered` is one column of the reach; kernels and gradients of a block are converted once.
    _schedule_blocks(result, y, k)
    filtered.compute_at(result, k)
    _in_registers(filtered, i)
    tall.compute_at(result, xo).reorder(x, y, inner).vectorize(x, LANES).unroll(y)
    weight.compute_at(result, xo).vectorize(x, LANES)
    return Pipeline(result, *images, taps, rows)


@once
def _frame_pipeline(channels: int, bf16: bool) -> Pipeline:
    """Gather form: frame row y of the block sums over output rows `inner` above it, with tap y -
    inner."""
    images, readers, taps, rows = _inputs(bf16, "gradient", "vertical", "horizontal")
    columns = hl.Param(hl.Int(32), "columns")
    gradient, vertical, horizontal = (_zero_outside(reader, columns) for reader in readers)
    i, j = hl.RDom([(0, taps + ROWS - 1)]).x, hl.RDom([(0, taps)]).x
    above = block * ROWS + inner - (taps - 1)  # the output row of `inner`, which may be outside
    source = hl.clamp(above, 0, rows - 1)
    tap = y + taps - 1 - inner

    weight = hl.Func("weight")
    weight[x, c, inner, block, n] = hl.select(
        (above >= 0) & (above < rows), gradient(x, source, c, n), 0.0
    )
    tall = hl.Func("tall")
    tall[x, y, inner, block, n] = _tap_or_zero(vertical, source, tap, taps)
    term = horizontal(x - j, source, j, n) * weight[x - j, c, inner, block, n]
    spread = _accumulate("spread", inner, tall[x - j, y, inner, block, n] * term)
    result = _sum_in_registers(spread[x, c, y, i, block, n], spread, (i, j), channels)
    # Neighbouring blocks of a row read overlapping columns, so both are computed for whole rows.
    weight.compute_at(result, task).vectorize(x, LANES).unroll(c)
    tall.compute_at(result, task).reorder(x, y, inner).vectorize(x, LANES).unroll(y)
    return Pipeline(result, *images, taps, rows, columns)


def _zero_outside(image: Callable[..., Any], columns: hl.Param) -> Callable[..., Any]:
    """Return zero left and right of an image. `likely` makes Halide generate a loop without the
    test for the interior."""

    def read(column: Any, *at: Any) -> Any:
        inside = hl.likely((column >= 0) & (column < columns))
        return hl.select(inside, image(hl.clamp(column, 0, columns - 1), *at), 0.0)

    return read
