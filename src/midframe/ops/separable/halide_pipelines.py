"""Pipelines of separable convolution, compiled for the processor at hand at their first call, once
for a number of channels and a type of kernel.

With the output gradient g, and vertical and horizontal kernels v and h of K taps:

    out[c, y, x] = sum_i v[i, y, x] * sum_j h[j, y, x] * frame[c, y + i, x + j]
    grad_v[i, y, x] = sum_c g[c, y, x] * sum_j h[j, y, x] * frame[c, y + i, x + j]
    grad_h[j, y, x] = sum_c g[c, y, x] * sum_i v[i, y, x] * frame[c, y + i, x + j]
    grad_frame[c, y, x] = sum_ij v[i, y - i, x - j] * h[j, y - i, x - j] * g[c, y - i, x - j]

All pipelines have the same structure. A block of ROWS output rows by LANES output columns is
computed at a time, by K + ROWS - 1 rows of the frame: a vector of the frame is loaded once for all
output rows of the block. `inner` is the index of a frame row among these, so output row `y` of the
block uses it at tap `inner - y`, which is outside the kernel for some.

Images are (x, y, c, n), kernels (x, y, tap, n), outputs (x, y within the block, c or tap, block,
n).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import halide as hl

from midframe.ops.halide_tools import LANES, Pipeline, as_float, cached_pipeline, storage

ROWS = 4
"""Output rows in a block: 4 rows by 3 colours are 12 accumulators, which fit into 16 or 32 vector
registers."""

x = hl.Var("x")
y = hl.Var("y")  # row within the block
block = hl.Var("block")
n = hl.Var("n")
c = hl.Var("c")
k = hl.Var("k")  # tap
inner = hl.Var("inner")  # frame row of the block
xo = hl.Var("xo")
xi = hl.Var("xi")
task = hl.Var("task")


@dataclass(frozen=True)
class _Input:
    """An input of a pipeline, (x, y, c or tap, n), read as float32."""

    image: hl.ImageParam
    bf16: bool = False

    def __call__(self, *at: Any) -> Any:
        return as_float(self.image[at], self.bf16)


def _image(name: str) -> _Input:
    """Declare a frame or a gradient."""
    return _Input(hl.ImageParam(hl.Float(32), 4, name))


def _kernel(name: str, bf16: bool) -> _Input:
    """Declare a kernel of every pixel."""
    return _Input(hl.ImageParam(storage(bf16), 4, name), bf16)


def _tap_or_zero(kernel: Callable[..., Any], row: Any, tap: Any, taps: hl.Param) -> Any:
    """Return a tap of the kernel of pixel (x, row), 0 outside of the kernel."""
    inside = (tap >= 0) & (tap < taps)
    return hl.select(inside, kernel(x, row, hl.clamp(tap, 0, taps - 1), n), 0.0)


def _accumulate(name: str, index: Any, term: Any) -> hl.Func:
    """Sum a term over the reduction that it contains, for the pixels and colours of a block."""
    total = hl.Func(name)
    total[x, c, y, index, block, n] = 0.0
    total[x, c, y, index, block, n] += term
    return total


def _in_registers(total: hl.Func, over: hl.RVar) -> None:
    """Schedule a sum such that all its accumulators stay in registers over the reduction: one
    vector for each colour and row of the block."""
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
    """Schedule the loops over blocks, for all pipelines: a task is a row of blocks.

    The last vector of a row overlaps its neighbour, so all are complete.
    """
    result.bound(y, 0, ROWS).split(x, xo, xi, LANES, hl.TailStrategy.ShiftInwards)
    result.reorder(xi, *loops, xo, block, n).vectorize(xi).unroll(y)
    result.fuse(block, n, task).parallel(task)


def _sum_in_registers(
    term: Any, inner_sum: hl.Func, reductions: tuple[hl.RVar, hl.RVar], channels: int
) -> hl.Func:
    """Return the result that sums a term over the first reduction; `inner_sum` in it sums over the
    second, in registers too."""
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, c, y, block, n] = 0.0
    total[x, c, y, block, n] += term
    result[x, y, c, block, n] = total[x, c, y, block, n]
    # Per block and row of the reduction, `inner_sum` is computed in registers and used at once for
    # all output rows of the block; nothing but `result` is written to memory.
    _schedule_blocks(result.bound(c, 0, channels), c, y)
    result.unroll(c)
    total.compute_at(result, xo)
    _in_registers(total, reductions[0])
    inner_sum.compute_at(total, reductions[0])
    _in_registers(inner_sum, reductions[1])
    return result


@cached_pipeline
def forward_pipeline(channels: int, bf16: bool) -> Pipeline:
    """Build the forward pass: the frame rows of a block are filtered horizontally one by one, each
    with the kernels of all output rows, and added to them with their vertical taps."""
    frame = _image("frame")
    vertical = _kernel("vertical", bf16)
    horizontal = _kernel("horizontal", bf16)
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    output_row = hl.min(block * ROWS + y, rows - 1)
    frame_row = hl.min(block * ROWS + inner, rows + taps - 2)
    i = hl.RDom([(0, taps + ROWS - 1)]).x
    j = hl.RDom([(0, taps)]).x

    horizontal_taps = hl.Func("horizontal_taps")
    horizontal_taps[x, y, k, block, n] = horizontal(x, output_row, k, n)
    filtered_row = _accumulate(
        "filtered_row",
        inner,
        horizontal_taps[x, y, j, block, n] * frame(x + j, frame_row, c, n),
    )
    vertical_taps = hl.Func("vertical_taps")
    vertical_taps[x, y, inner, block, n] = _tap_or_zero(vertical, output_row, inner - y, taps)
    term = vertical_taps[x, y, i, block, n] * filtered_row[x, c, y, i, block, n]
    result = _sum_in_registers(term, filtered_row, (i, j), channels)
    # Once per block, as every frame row uses the horizontal ones. The loads of both are independent
    # there; between the sums, each load of a tap, from a memory page of its own, was waited for.
    horizontal_taps.compute_at(result, xo).vectorize(x, LANES)
    vertical_taps.compute_at(result, xo).reorder(x, y, inner).vectorize(x, LANES).unroll(y)
    return Pipeline(result, frame.image, vertical.image, horizontal.image, taps, rows)


@cached_pipeline
def vertical_pipeline(channels: int, bf16: bool) -> Pipeline:
    """Build the gradient of the vertical kernels, (x, y within the block, inner, block, n): that of
    tap `inner - y`."""
    gradient = _image("gradient")
    frame = _image("frame")
    horizontal = _kernel("horizontal", bf16)
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    output_row = hl.min(block * ROWS + y, rows - 1)
    frame_row = hl.min(block * ROWS + inner, rows + taps - 2)
    j = hl.RDom([(0, taps)]).x

    horizontal_taps = hl.Func("horizontal_taps")
    grad_output = hl.Func("grad_output")
    horizontal_taps[x, y, k, block, n] = horizontal(x, output_row, k, n)
    grad_output[x, y, c, block, n] = gradient(x, output_row, c, n)
    filtered_row = _accumulate(
        "filtered_row",
        inner,
        horizontal_taps[x, y, j, block, n] * frame(x + j, frame_row, c, n),
    )
    result = hl.Func("result")
    result[x, y, inner, block, n] = _sum_colours(grad_output, filtered_row, inner, channels)

    # One frame row after another is filtered; kernels and gradients of a block are converted once.
    _schedule_blocks(result, y, inner)
    filtered_row.compute_at(result, inner)
    _in_registers(filtered_row, j)
    for stored in (horizontal_taps, grad_output):
        stored.compute_at(result, xo).vectorize(x, LANES)
    return Pipeline(result, gradient.image, frame.image, horizontal.image, taps, rows)


@cached_pipeline
def horizontal_pipeline(channels: int, bf16: bool) -> Pipeline:
    """Build the gradient of the horizontal kernels, (x, y within the block, k, block, n): that of
    tap k."""
    gradient = _image("gradient")
    frame = _image("frame")
    vertical = _kernel("vertical", bf16)
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    output_row = hl.min(block * ROWS + y, rows - 1)
    i = hl.RDom([(0, taps + ROWS - 1)]).x
    frame_row = hl.min(block * ROWS + i, rows + taps - 2)

    vertical_taps = hl.Func("vertical_taps")
    grad_output = hl.Func("grad_output")
    vertical_taps[x, y, inner, block, n] = _tap_or_zero(vertical, output_row, inner - y, taps)
    grad_output[x, y, c, block, n] = gradient(x, output_row, c, n)
    filtered_column = _accumulate(
        "filtered_column", k, vertical_taps[x, y, i, block, n] * frame(x + k, frame_row, c, n)
    )
    result = hl.Func("result")
    result[x, y, k, block, n] = _sum_colours(grad_output, filtered_column, k, channels)

    # One tap after another is computed; kernels and gradients of a block are converted once.
    _schedule_blocks(result, y, k)
    filtered_column.compute_at(result, k)
    _in_registers(filtered_column, i)
    vertical_taps.compute_at(result, xo).reorder(x, y, inner).vectorize(x, LANES).unroll(y)
    grad_output.compute_at(result, xo).vectorize(x, LANES)
    return Pipeline(result, gradient.image, frame.image, vertical.image, taps, rows)


@cached_pipeline
def frame_pipeline(channels: int, bf16: bool) -> Pipeline:
    """Build the gradient of the frame, in gather form: blocks are of frame rows, and frame row `y`
    sums over the output rows `inner` from K - 1 above the block on, at tap `y + K - 1 - inner`."""
    images = (_image("gradient"), _kernel("vertical", bf16), _kernel("horizontal", bf16))
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    columns = hl.Param(hl.Int(32), "columns")
    gradient = _zero_outside(images[0], columns)
    vertical = _zero_outside(images[1], columns)
    horizontal = _zero_outside(images[2], columns)
    i = hl.RDom([(0, taps + ROWS - 1)]).x
    j = hl.RDom([(0, taps)]).x
    output_row = block * ROWS + inner - (taps - 1)  # may be outside
    inside_row = hl.clamp(output_row, 0, rows - 1)
    tap = y + taps - 1 - inner

    grad_output = hl.Func("grad_output")
    grad_output[x, c, inner, block, n] = hl.select(
        (output_row >= 0) & (output_row < rows), gradient(x, inside_row, c, n), 0.0
    )
    vertical_taps = hl.Func("vertical_taps")
    vertical_taps[x, y, inner, block, n] = _tap_or_zero(vertical, inside_row, tap, taps)
    term = horizontal(x - j, inside_row, j, n) * grad_output[x - j, c, inner, block, n]
    gathered = _accumulate("gathered", inner, vertical_taps[x - j, y, inner, block, n] * term)
    result = _sum_in_registers(gathered[x, c, y, i, block, n], gathered, (i, j), channels)
    # Neighbouring blocks of a row read overlapping columns, so both are computed for whole rows.
    grad_output.compute_at(result, task).vectorize(x, LANES).unroll(c)
    vertical_taps.compute_at(result, task).reorder(x, y, inner).vectorize(x, LANES).unroll(y)
    return Pipeline(result, *(each.image for each in images), taps, rows, columns)


def _zero_outside(image: Callable[..., Any], columns: hl.Param) -> Callable[..., Any]:
    """Return an image that is zero left and right of its columns.

    `likely` makes Halide generate a loop without the test for the interior.
    """

    def read(column: Any, *at: Any) -> Any:
        inside = hl.likely((column >= 0) & (column < columns))
        return hl.select(inside, image(hl.clamp(column, 0, columns - 1), *at), 0.0)

    return read
