"""Fields from the decoder's outputs on the CPU, as one Halide pipeline."""

import halide as hl
import torch
from torch import Tensor

from midframe.models.flowsep.layout import COLOURS, FieldLayout
from midframe.models.flowsep.steps.fields.reference import MIN_KERNEL_SUM, log_odds
from midframe.ops.halide_tools import (
    LANES,
    Pipeline,
    as_float,
    buffer,
    buffer_view,
    cached_pipeline,
    channels_innermost,
    in_one_loop,
    storage,
)

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
k = hl.Var("k")
task = hl.Var("task")


def decode_outputs(outputs: Tensor, flow: Tensor, t: Tensor, normalise: bool) -> Tensor:
    """See `Steps.decode_outputs`."""
    result = flow.new_empty(outputs.shape)
    run = _pipeline(outputs.dtype == torch.bfloat16, FieldLayout.of(outputs), normalise)
    run(channels_innermost(outputs), buffer(flow), buffer(log_odds(t)), buffer_view(result))
    return result


@cached_pipeline
def _pipeline(bf16: bool, layout: FieldLayout, normalise: bool) -> Pipeline:
    outputs = hl.ImageParam(storage(bf16), 4, "outputs")
    flow = hl.ImageParam(hl.Float(32), 4, "flow")
    odds = hl.ImageParam(hl.Float(32), 4, "odds")
    taps = layout.taps
    value = hl.Func("value")
    inverse_sum = hl.Func("inverse_sum")  # of kernel k
    result = hl.Func("result")
    value[x, c, y, n] = as_float(outputs[c, x, y, n], bf16)
    first_tap = layout.kernels.start + k * taps
    # 1 is the sum of the delta that the outputs are added to.
    kernel_sum = 1.0 + sum(value[x, first_tap + tap, y, n] for tap in range(taps))
    if normalise:
        inverse_sum[x, k, y, n] = 1.0 / hl.max(kernel_sum, hl.f32(MIN_KERNEL_SUM))
    else:
        inverse_sum[x, k, y, n] = hl.f32(1.0)
    fields = [flow[x, y, number, n] for number in range(layout.flows.stop)]
    for number, kernel in enumerate(layout.each_kernel):
        for tap in range(taps):
            weight = value[x, kernel.start + tap, y, n] + float(tap == taps // 2)
            fields.append(weight * inverse_sum[x, number, y, n])
    logit = value[x, layout.mask.start, y, n] + odds[0, 0, 0, n]
    fields.append(1.0 / (1.0 + hl.exp(-logit)))
    fields += [value[x, layout.residual.start + colour, y, n] for colour in range(COLOURS)]
    result[x, y, c, n] = hl.mux(c, fields)

    # A task is a row. Outputs have channels innermost and fields pixels innermost, so a row is
    # first transposed (`value`), vectorised over channels, and then computed vectorised over
    # pixels; all fields of a vector of pixels are computed together, since they share
    # `inverse_sum`.
    result.bound(c, 0, layout.channels).reorder(c, x, y, n).unroll(c)
    result.fuse(y, n, task).parallel(task).vectorize(x, LANES, hl.TailStrategy.GuardWithIf)
    value.compute_at(result, task).reorder(c, x, y, n)
    value.vectorize(c, LANES, hl.TailStrategy.GuardWithIf)
    inverse_sum.compute_at(result, x).vectorize(x, LANES)
    inverse_sum.bound(k, 0, len(layout.each_kernel)).unroll(k)
    in_one_loop(value, inverse_sum, result)
    return Pipeline(result, outputs, flow, odds)
