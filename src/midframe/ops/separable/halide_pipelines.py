"""Pipelines of separable convolution, compiled for the processor at hand at their first call, once
for a number of channels and a type of kernel.

All pipelines have the same structure. A block of ROWS output rows by LANES output columns is
computed at a time; one row of the frame is used for every output row of the block while it is in a
register. `inner` is the frame row's index within the block's reach, so output row `y` of the block
uses it at tap `inner - y`.
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
y = hl.Var("y")
block = hl.Var("block")
n = hl.Var("n")
c = hl.Var("c")
k = hl.Var("k")
inner = hl.Var("inner")
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
    total = hl.Func("total")
    result = hl.Func("result")
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


@cached_pipeline
def forward_pipeline(channels: int, bf16: bool) -> Pipeline:
    frame = _image("frame")
    vertical = _kernel("vertical", bf16)
    horizontal = _kernel("horizontal", bf16)
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    row_at = hl.min(block * ROWS + y, rows - 1)
    last = rows + taps - 2
    i = hl.RDom([(0, taps + ROWS - 1)]).x
    j = hl.RDom([(0, taps)]).x

    wide = hl.Func("wide")
    wide[x, y, k, block, n] = horizontal(x, row_at, k, n)
    term = wide[x, y, j, block, n] * frame(x + j, hl.min(block * ROWS + inner, last), c, n)
    # the frame's row `inner`, filtered by row y's horizontal kernel
    filtered = _accumulate("filtered", inner, term)
    term = _tap_or_zero(vertical, row_at, i - y, taps) * filtered[x, c, y, i, block, n]
    result = _sum_in_registers(term, filtered, (i, j), channels)
    wide.compute_at(result, xo).vectorize(x, LANES)
    return Pipeline(result, frame.image, vertical.image, horizontal.image, taps, rows)


@cached_pipeline
def vertical_pipeline(channels: int, bf16: bool) -> Pipeline:
    gradient = _image("gradient")
    frame = _image("frame")
    horizontal = _kernel("horizontal", bf16)
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    row_at = hl.min(block * ROWS + y, rows - 1)
    last = rows + taps - 2
    j = hl.RDom([(0, taps)]).x

    wide = hl.Func("wide")
    weight = hl.Func("weight")
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
    return Pipeline(result, gradient.image, frame.image, horizontal.image, taps, rows)


@cached_pipeline
def horizontal_pipeline(channels: int, bf16: bool) -> Pipeline:
    gradient = _image("gradient")
    frame = _image("frame")
    vertical = _kernel("vertical", bf16)
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    row_at = hl.min(block * ROWS + y, rows - 1)
    last = rows + taps - 2
    i = hl.RDom([(0, taps + ROWS - 1)]).x

    tall = hl.Func("tall")
    weight = hl.Func("weight")
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
    return Pipeline(result, gradient.image, frame.image, vertical.image, taps, rows)


@cached_pipeline
def frame_pipeline(channels: int, bf16: bool) -> Pipeline:
    """Gather form: frame row y of the block sums over output rows `inner` above it, with tap y -
    inner."""
    images = (_image("gradient"), _kernel("vertical", bf16), _kernel("horizontal", bf16))
    taps = hl.Param(hl.Int(32), "taps")
    rows = hl.Param(hl.Int(32), "rows")
    columns = hl.Param(hl.Int(32), "columns")
    gradient = _zero_outside(images[0], columns)
    vertical = _zero_outside(images[1], columns)
    horizontal = _zero_outside(images[2], columns)
    i = hl.RDom([(0, taps + ROWS - 1)]).x
    j = hl.RDom([(0, taps)]).x
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
    return Pipeline(result, *(each.image for each in images), taps, rows, columns)


def _zero_outside(image: Callable[..., Any], columns: hl.Param) -> Callable[..., Any]:
    """Return zero left and right of an image. `likely` makes Halide generate a loop without the
    test for the interior."""

    def read(column: Any, *at: Any) -> Any:
        inside = hl.likely((column >= 0) & (column < columns))
        return hl.select(inside, image(hl.clamp(column, 0, columns - 1), *at), 0.0)

    return read
