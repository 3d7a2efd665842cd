"""The last step of FlowSep on the CPU, as one Halide pipeline: nothing of the frame's size is written but the frame.

A row of fields is enlarged down once for a row of pixels; LANES neighbouring pixels then enlarge it across, and fetch
and filter both frames while all they need is in registers.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import halide as hl
from torch import Tensor
from torch.nn import functional

from midframe.ops.halide_tools import LANES, array, buffer, compiled

NAMES = ("x", "y", "c", "n", "k", "u", "task")
x, y, c, n, k, u, task = map(hl.Var, NAMES)


def synthesise(
    first: Tensor, second: Tensor, said: Tensor, factor: int, rows: slice, columns: slice, deviation: Tensor
) -> Tensor:
    """See `midframe.ops.synthesis.synthesise`."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    wide = max(width, LANES)
    result = first.new_empty(len(first), first.shape[1], height, wide)
    run = _pipeline(first.shape[1], (said.shape[1] - 8) // 4)
    places = (said.shape[3], said.shape[2], first.shape[3], first.shape[2], factor, columns.start, rows.start)
    spread = deviation.reshape(-1, 1, 1, 1)
    run(buffer(first), buffer(second), buffer(said.contiguous()), buffer(spread), *places, hl.Buffer(array(result)))
    return result if wide == width else functional.pad(result, (0, width - wide))


@cache
def _pipeline(channels: int, taps: int) -> Callable[..., Any]:
    images = [hl.ImageParam(hl.Float(32), 4, name) for name in ("first", "second", "said", "deviation")]
    numbers = ("columns", "lines", "wide", "high", "factor", "left", "top")
    params = [hl.Param(hl.Int(32), name) for name in numbers]
    first, second, said, deviation = images
    columns, lines, wide, high, factor, left, top = params

    above, below, down = _between(y + top, factor, lines)
    before, behind, right = _between(x + left, factor, columns)
    line, field = hl.Func("line"), hl.Func("field")
    line[u, k, y, n] = said[u, above, k, n] + (said[u, below, k, n] - said[u, above, k, n]) * down  # enlarged down
    field[x, k, y, n] = line[before, k, y, n] + (line[behind, k, y, n] - line[before, k, y, n]) * right  # and across

    total = hl.Func("total")
    total[x, c, y, n] = 0.0
    functions = [line, field, total]
    shares = [field[x, 4 + 4 * taps, y, n], 1 - field[x, 4 + 4 * taps, y, n]]
    updates = []
    for place, (frame, share) in enumerate(zip((first, second), shares, strict=True)):
        to_x = x + left + field[x, 2 * place, y, n] * factor
        to_y = y + top + field[x, 2 * place + 1, y, n] * factor
        tall, across = (
            _longer(field, 4 + (2 * place + axis) * taps, taps, to - hl.floor(to), f"{name}{place}")
            for axis, (to, name) in enumerate(((to_y, "tall"), (to_x, "across")))
        )
        at_x, at_y = hl.Func(f"at_x{place}"), hl.Func(f"at_y{place}")
        at_x[x, k, y, n] = _place(to_x, k - taps // 2, wide)
        at_y[x, k, y, n] = _place(to_y, k - taps // 2, high)
        r = hl.RDom([(0, taps + 1)], f"r{place}")
        seen = sum(
            across[x, tap, y, n]
            * frame[hl.clamp(at_x[x, tap, y, n], 0, wide - 1), hl.clamp(at_y[x, r.x, y, n], 0, high - 1), c, n]
            for tap in range(taps + 1)
        )
        total[x, c, y, n] += share * tall[x, r.x, y, n] * seen
        updates.append(r)
        functions += [tall, across, at_x, at_y]

    result = hl.Func("result")
    residual = field[x, 5 + 4 * taps + hl.min(c, 2), y, n] * deviation[0, 0, 0, n]
    result[x, y, c, n] = total[x, c, y, n] + hl.select(c < 3, residual, 0.0)
    result.bound(c, 0, channels).reorder(c, x, y, n).unroll(c).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    line.compute_at(result, task).vectorize(u, LANES, hl.TailStrategy.GuardWithIf)
    for function in functions[1:]:
        function.compute_at(result, x).vectorize(x, LANES)
    total.unroll(c)
    for index, r in enumerate(updates):
        total.update(index).reorder(c, x, r.x).vectorize(x, LANES).unroll(c)
    return compiled(result, *images, *params)


def _between(place: Any, factor: hl.Param, size: hl.Param) -> tuple[Any, Any, Any]:
    """The two values of fields that a pixel of the frame lies between, and how far from the first, in [0, 1)."""
    where = (hl.cast(hl.Float(32), place) + 0.5) / hl.cast(hl.Float(32), factor) - 0.5
    where = hl.clamp(where, 0.0, hl.cast(hl.Float(32), size - 1))
    before = hl.cast(hl.Int(32), hl.floor(where))
    return hl.clamp(before, 0, size - 1), hl.clamp(before + 1, 0, size - 1), where - hl.floor(where)


def _place(where: Any, offset: Any, size: hl.Param) -> Any:
    """The whole pixel that a tap sees, the nearest one where it leads outside."""
    inside = hl.clamp(hl.floor(where) + hl.cast(hl.Float(32), offset), 0.0, hl.cast(hl.Float(32), size - 1))
    return hl.cast(hl.Int(32), inside)


def _longer(field: hl.Func, start: int, taps: int, part: Any, name: str) -> hl.Func:
    """The kernel of fields from `start` on, moved on by part of a pixel: one tap more."""
    longer = hl.Func(name)
    here, before = (field[x, start + hl.clamp(tap, 0, taps - 1), y, n] for tap in (k, k - 1))
    longer[x, k, y, n] = hl.select(k < taps, here * (1 - part), 0.0) + hl.select(k > 0, before * part, 0.0)
    return longer
