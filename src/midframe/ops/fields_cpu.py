"""Fields of FlowSep on the CPU, as one Halide pipeline: a row of what lies channels innermost, then value by value."""

import halide as hl
import torch
from torch import Tensor

from midframe.ops.fields import MIN_KERNEL_SUM, odds
from midframe.ops.halide_tools import LANES, Pipeline, as_float, buffer, in_one_loop, inner, once, storage, writable
from midframe.ops.halide_tools import serves_features as serves

__all__ = ["fields", "serves"]

NAMES = ("x", "y", "c", "n", "k", "task")
x, y, c, n, k, task = map(hl.Var, NAMES)


def fields(outputs: Tensor, flow: Tensor, time: Tensor, taps: int, normalise: bool) -> Tensor:
    """See `midframe.ops.fields.fields`."""
    result = flow.new_empty(outputs.shape)
    run = _pipeline(outputs.dtype == torch.bfloat16, taps, normalise)
    run(inner(outputs), buffer(flow), buffer(odds(time)), writable(result))
    return result


@once
def _pipeline(half: bool, taps: int, normalise: bool) -> Pipeline:
    outputs, flow = hl.ImageParam(storage(half), 4, "outputs"), hl.ImageParam(hl.Float(32), 4, "flow")
    known = hl.ImageParam(hl.Float(32), 4, "known")
    said, divisor, result = hl.Func("said"), hl.Func("divisor"), hl.Func("result")
    said[x, c, y, n] = as_float(outputs[c, x, y, n], half)
    starts = [4 + number * taps for number in range(4)]
    total = 1.0 + sum(said[x, 4 + k * taps + tap, y, n] for tap in range(taps))
    divisor[x, k, y, n] = 1.0 / hl.max(total, hl.f32(MIN_KERNEL_SUM)) if normalise else hl.f32(1.0)
    values = [flow[x, y, number, n] for number in range(4)]
    for number, start in enumerate(starts):
        values += [
            (said[x, start + tap, y, n] + float(tap == taps // 2)) * divisor[x, number, y, n] for tap in range(taps)
        ]
    values.append(1.0 / (1.0 + hl.exp(-(said[x, len(values), y, n] + known[0, 0, 0, n]))))
    values += [said[x, len(values) + colour, y, n] for colour in range(3)]
    result[x, y, c, n] = hl.mux(c, values)
    result.bound(c, 0, len(values)).reorder(c, x, y, n).unroll(c).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.GuardWithIf)
    said.compute_at(result, task).reorder(c, x, y, n).vectorize(c, LANES, hl.TailStrategy.GuardWithIf)
    divisor.compute_at(result, x).vectorize(x, LANES).bound(k, 0, 4).unroll(k)
    in_one_loop(said, divisor, result)
    return Pipeline(result, outputs, flow, known)
