"""The last step of FlowSep on the CPU, as one Halide pipeline: nothing of the frame's size is written but the frame.

A row of fields is enlarged down, then across, once for a row of pixels. LANES neighbouring pixels then find their
places and kernels together; each of them fetches by itself, for the colours of neighbouring pixels lie side by side:
a row of what a kernel covers is one piece of memory, where pixels that fetch together would gather value by value
(three times as slow). Several rows of a strip of the frame are made together, for they read nearly the same memory.
"""

from collections.abc import Callable
from typing import Any

import halide as hl
from torch import Tensor
from torch.nn import functional

from midframe.ops.halide_tools import LANES, Pipeline, between, buffer, in_one_row, lerp, once, serves, writable
from midframe.ops.resampling import EXTRA_TAPS, Resampling, shift_weights, taps_before

__all__ = ["serves", "synthesise"]

NAMES = ("x", "y", "c", "n", "k", "u", "v", "block", "lane", "task")
x, y, c, n, k, u, v, block, lane, task = map(hl.Var, NAMES)
ROWS, BLOCKS = 4, 20
"""Rows that are made together, and how many times LANES pixels of them."""
COLOURS = 4
"""Colours of a pixel that are summed side by side: where frames have but three, the fourth is that of its neighbour."""


def synthesise(
    first: Tensor, second: Tensor, said: Tensor, factor: int, rows: slice, columns: slice, deviation: Tensor,
    *, resampling: Resampling = "linear",
) -> Tensor:  # fmt: skip
    """See `midframe.ops.synthesis.synthesise`. The result lies with its colours side by side, as frames best do."""
    channels, taps = first.shape[1], (said.shape[1] - 8) // 4
    frames = [first, second]
    if (missing := taps + EXTRA_TAPS[resampling] - first.shape[3]) > 0:
        frames = [functional.pad(frame, (0, missing, 0, 0), mode="replicate") for frame in frames]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    result = first.new_empty(len(first), height, max(width, LANES), channels)
    run = _pipeline(channels, taps, factor, resampling)
    places = (*said.shape[:1:-1], *frames[0].shape[:1:-1], columns.start, rows.start)
    spread = deviation.reshape(-1, 1, 1, 1)
    run(*map(in_one_row, frames), buffer(said.contiguous()), buffer(spread), *places, writable(result))
    return result[:, :, :width].permute(0, 3, 1, 2)


@once
def _pipeline(channels: int, taps: int, factor: int, resampling: str) -> Pipeline:
    first, second = (hl.ImageParam(hl.Float(32), 2, name) for name in ("first", "second"))
    said, deviation = (hl.ImageParam(hl.Float(32), 4, name) for name in ("said", "deviation"))
    params = [hl.Param(hl.Int(32), name) for name in ("columns", "lines", "wide", "high", "left", "top")]
    columns, lines, wide, high, left, top = params

    line, enlarged = hl.Func("line"), hl.Func("enlarged")
    edged = hl.BoundaryConditions.repeat_edge(said, [(0, columns)])
    first_row, down = between(y + top, factor)
    above, below = (hl.clamp(row, 0, lines - 1) for row in (first_row, first_row + 1))
    line[u, k, y, n] = lerp(edged[u, above, k, n], edged[u, below, k, n], down)
    before, right = between(u, factor)
    enlarged[u, k, y, n] = lerp(line[before, k, y, n], line[before + 1, k, y, n], right)

    def field(number: Any) -> Any:
        return enlarged[x + left, number, y, n]

    share, reach = field(4 + 4 * taps), taps + EXTRA_TAPS[resampling]  # between pixels a kernel covers more of them
    before_centre = taps // 2 + taps_before(resampling)
    by_pixel, by_memory, seen = [], [], []
    for place, (frame, weight) in enumerate(zip((first, second), (share, 1 - share), strict=True)):
        names = ("at_x", "at_y", "start", "piece", "across", "column")
        at_x, at_y, start, piece, across, column = (hl.Func(f"{name}{place}") for name in names)
        to_x = hl.cast(hl.Float(32), x + left) + field(2 * place) * factor
        to_y = hl.cast(hl.Float(32), y + top) + field(2 * place + 1) * factor
        (tall, *tall_weights), (flat, *flat_weights) = (
            _shifted(field, 4 + (2 * place + axis) * taps, taps, to - hl.floor(to), f"{name}{place}", resampling)
            for axis, (to, name) in enumerate(((to_y, "tall"), (to_x, "flat")))
        )
        at_x[x, k, y, n] = _place(to_x, k - before_centre, wide)
        at_y[x, k, y, n] = _place(to_y, k - before_centre, high)
        # Taps that lead outside see the outermost pixel, so it has all their weight.
        start[x, y, n] = hl.min(at_x[x, 0, y, n], wide - reach)
        across[x, k, y, n] = weight * sum(
            hl.select(at_x[x, tap, y, n] == start[x, y, n] + k, flat[x, tap, y, n], 0.0) for tap in range(reach)
        )
        # Where pieces of rows begin is found for LANES pixels at once, so that each has but to fetch.
        piece[x, k, y, n] = (at_y[x, k, y, n] * wide + start[x, y, n]) * channels
        last = (high * wide - reach) * channels
        column[v, x, y, n] = sum(
            tall[x, tap, y, n] * frame[hl.clamp(piece[x, tap, y, n], 0, last) + v, n] for tap in range(reach)
        )
        by_pixel += [*tall_weights, *flat_weights, tall, flat, at_x, at_y, start, piece, across]
        by_memory.append(column)
        # The fourth colour of three, which nothing reads, may lie behind the last one.
        colours = (hl.unsafe_promise_clamped(channels * tap + c, 0, channels * reach - 1) for tap in range(reach))
        seen.append(sum(across[x, tap, y, n] * column[colour, x, y, n] for tap, colour in enumerate(colours)))

    total, result = hl.Func("total"), hl.Func("result")
    total[c, x, y, n] = hl.select(c < 3, field(5 + 4 * taps + hl.min(c, 2)) * deviation[0, 0, 0, n], 0.0)
    total[c, x, y, n] += sum(seen)
    result[c, x, y, n] = total[c, x, y, n]

    result.output_buffer().dim(1).set_stride(channels)  # so that colours are written side by side at once
    result.bound(c, 0, channels).split(x, block, lane, LANES, hl.TailStrategy.ShiftInwards)
    strip, in_row, guarded = hl.Var("strip"), hl.Var("in_row"), hl.TailStrategy.GuardWithIf
    result.split(block, strip, block, BLOCKS, guarded).split(y, y, in_row, ROWS, guarded)
    result.reorder(c, lane, in_row, block, strip, y, n).unroll(c).vectorize(lane)
    result.fuse(y, n, task).fuse(strip, task, task).parallel(task)
    line.compute_at(result, task).vectorize(u, LANES, guarded)
    # Pixels between the same two values lie side by side, so nothing is gathered.
    enlarged.compute_at(result, task).align_bounds(u, factor).split(u, block, lane, factor)
    enlarged.reorder(lane, block, k, y, n).unroll(lane).vectorize(block, max(1, LANES // factor))
    for function in by_pixel:
        function.compute_at(result, in_row).vectorize(x, LANES)
        if function.dimensions() == 4:
            function.unroll(k)
    total.compute_at(result, in_row).bound(c, 0, COLOURS).unroll(c).vectorize(x, LANES)
    total.update(0).reorder(c, x, y, n).vectorize(c)
    values = channels * reach
    for function in by_memory:  # all of LANES pixels before any is summed: what was just written is slow to read
        function.compute_at(result, in_row).bound(v, 0, values).vectorize(v, values)
        function.bound_storage(v, values + COLOURS)
    return Pipeline(result, first, second, said, deviation, *params)


def _place(where: Any, offset: Any, size: hl.Param) -> Any:
    """The whole pixel that a tap sees, the nearest one where it leads outside."""
    inside = hl.clamp(hl.floor(where) + hl.cast(hl.Float(32), offset), 0.0, hl.cast(hl.Float(32), size - 1))
    return hl.cast(hl.Int(32), inside)


def _shifted(
    field: Callable[[Any], Any], start: int, taps: int, fraction: Any, name: str, resampling: str
) -> list[hl.Func]:
    """The kernel of fields from `start` on, shifted by a fraction of a pixel, and what it is computed from."""
    shifted, weight, total = hl.Func(name), hl.Func(f"{name}_weight"), 0.0
    weights = shift_weights(fraction, resampling)
    if cubic := resampling == "cubic":  # computed once for all taps
        weight[x, k, y, n] = hl.mux(k, list(weights))
        weight.bound(k, 0, len(weights))
        weights = tuple(weight[x, offset, y, n] for offset in range(len(weights)))
    for offset, each in enumerate(weights):
        tap = field(start + hl.clamp(k - offset, 0, taps - 1))
        total += hl.select((k >= offset) & (k < taps + offset), tap * each, 0.0)
    shifted[x, k, y, n] = total
    return [shifted, weight] if cubic else [shifted]
