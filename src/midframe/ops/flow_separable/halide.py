"""Separable convolution along a flow on the CPU, as Halide pipelines compiled for the processor at
hand.

LANES neighbouring pixels are computed at a time. A flow that leads between pixels shifts the
kernels by a fraction of a pixel, which makes them one tap longer (linear) or three (cubic), so that
each tap lies on one whole pixel, which is gathered.
"""

from typing import Any

import halide as hl
import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops import halide_tools
from midframe.ops.flow_separable import reference
from midframe.ops.halide_tools import (
    LANES,
    TYPES,
    Pipeline,
    array,
    as_float,
    buffer,
    cached_pipeline,
    channel_groups,
    storage,
)
from midframe.ops.resampling import EXTRA_TAPS, shift_weight_slopes, shift_weights, taps_before

CHANNELS = 4
"""Colours filtered at a time; frames with more are processed in groups."""

x = hl.Var("x")
y = hl.Var("y")
c = hl.Var("c")
n = hl.Var("n")
k = hl.Var("k")
j = hl.Var("j")
task = hl.Var("task")


def supports(frame: Tensor, kernel: Tensor) -> bool:
    """Return whether these pipelines support such tensors: float32 frames, kernels in float32 or
    bfloat16, on the CPU."""
    return halide_tools.supports(frame) and kernel.dtype in TYPES


def flow_separable_forward(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """Filter along a flow; shapes as in `midframe.ops.flow_separable_convolution`."""
    width = flow.shape[3]
    flow, vertical, horizontal = _pad_width(flow, vertical, horizontal)
    result = frame.new_empty(*frame.shape[:2], *flow.shape[2:])
    for group in channel_groups(frame.shape[1], CHANNELS):
        colours = frame[:, group]
        run = _forward_pipeline(
            colours.shape[1], vertical.shape[1], vertical.dtype == torch.bfloat16, resampling
        )
        run(*_inputs(colours, flow, vertical, horizontal), hl.Buffer(array(result[:, group])))
    return result[..., :width].contiguous()


def flow_separable_gradients(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the flow, (N, 2, H, W), and of both kernels, (N, K, H, W), in their
    types."""
    taps = vertical.shape[1]
    width = flow.shape[3]
    gradient, flow, wide_vertical, wide_horizontal = _pad_width(
        gradient, flow, vertical, horizontal
    )
    total = None
    for group in channel_groups(frame.shape[1], CHANNELS):
        part = frame.new_empty(len(frame), 2 * taps + 2, *flow.shape[2:])
        colours = frame[:, group]
        run = _gradient_pipeline(
            colours.shape[1], taps, vertical.dtype == torch.bfloat16, resampling
        )
        inputs = _inputs(colours, flow, wide_vertical, wide_horizontal)
        run(buffer(gradient[:, group]), *inputs, hl.Buffer(array(part)))
        total = part if total is None else total.add_(part)
    assert total is not None, "frames have a colour at least"
    grad_x, tall, grad_y, wide = torch.split(total[..., :width], [1, taps, 1, taps], dim=1)
    grad_flow = torch.cat((grad_x, grad_y), dim=1)
    return grad_flow, _own_memory(tall, vertical.dtype), _own_memory(wide, vertical.dtype)


def _own_memory(part: Tensor, dtype: torch.dtype) -> Tensor:
    """Copy a part of a tensor, which would keep the memory of the whole."""
    return part.to(dtype, memory_format=torch.contiguous_format, copy=True)


flow_separable_frame_gradient = reference.flow_separable_frame_gradient
"""PyTorch's implementation: no training of midframe needs this gradient."""


def _pad_width(*tensors: Tensor) -> list[Tensor]:
    """Pad narrow tensors on the right, so that a row fills at least one vector."""
    missing = max(0, LANES - tensors[0].shape[3])
    return [functional.pad(tensor, (0, missing)) if missing else tensor for tensor in tensors]


def _inputs(frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor) -> list[Any]:
    return [
        buffer(frame),
        buffer(flow.float()),
        buffer(vertical),
        buffer(horizontal),
        frame.shape[3],
        frame.shape[2],
    ]


class _Pixel:
    """Expressions in x, y and n that both pipelines share."""

    def __init__(self, taps: int, bf16: bool, resampling: str) -> None:
        self.frame = hl.ImageParam(hl.Float(32), 4, "frame")
        self.flow = hl.ImageParam(hl.Float(32), 4, "flow")
        self.vertical = hl.ImageParam(storage(bf16), 4, "vertical")
        self.horizontal = hl.ImageParam(storage(bf16), 4, "horizontal")
        self.columns = hl.Param(hl.Int(32), "columns")
        self.rows = hl.Param(hl.Int(32), "rows")
        self.taps = taps
        self.bf16 = bf16
        self.resampling = resampling
        self.longer = taps + EXTRA_TAPS[resampling]  # taps of the shifted kernels
        right, down = x + self.flow[x, y, 0, n], y + self.flow[x, y, 1, n]
        self.left = hl.floor(right)
        self.top = hl.floor(down)
        self.part_x = right - self.left
        self.part_y = down - self.top

    @property
    def arguments(self) -> list[Any]:
        """In the order of `_inputs`."""
        return [self.frame, self.flow, self.vertical, self.horizontal, self.columns, self.rows]

    def tap(self, params: hl.ImageParam, tap: Any) -> Any:
        """A tap of a kernel, in float32."""
        return as_float(params[x, y, tap, n], self.bf16)

    def shifted(self, params: hl.ImageParam, fraction: Any, name: str) -> hl.Func:
        """Return a kernel shifted by a fraction of a pixel, as a function of (x, k, y, n)."""
        result = hl.Func(name)
        total = 0.0
        for offset, weight in enumerate(shift_weights(fraction, self.resampling)):
            tap = self.tap(params, hl.clamp(k - offset, 0, self.taps - 1))
            total += hl.select((k >= offset) & (k < self.taps + offset), tap * weight, 0.0)
        result[x, k, y, n] = total
        return result

    def sampled(self, i: Any, j: Any, channel: Any) -> Any:
        """Return the pixel under row i and column j of the shifted kernels."""
        before = self.taps // 2 + taps_before(self.resampling)
        column = _pixel_inside(self.left + (j - before), self.columns)
        row = _pixel_inside(self.top + (i - before), self.rows)
        return self.frame[column, row, channel, n]


def _pixel_inside(place: Any, size: hl.Param) -> Any:
    """Return the nearest pixel inside of a frame. Clamped as a whole number too: a NaN must not
    address memory."""
    inside = hl.clamp(place, 0.0, hl.cast(hl.Float(32), size - 1))
    return hl.clamp(hl.cast(hl.Int(32), inside), 0, size - 1)


@cached_pipeline
def _forward_pipeline(channels: int, taps: int, bf16: bool, resampling: str) -> Pipeline:
    pixel = _Pixel(taps, bf16, resampling)
    row = hl.RDom([(0, pixel.longer)])
    down = pixel.shifted(pixel.vertical, pixel.part_y, "down")
    across = pixel.shifted(pixel.horizontal, pixel.part_x, "across")
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, c, y, n] = 0.0
    sampled = sum(
        across[x, tap, y, n] * pixel.sampled(row.x, tap, c) for tap in range(pixel.longer)
    )
    total[x, c, y, n] += down[x, row.x, y, n] * sampled
    result[x, y, c, n] = total[x, c, y, n]
    # A task is a row. For LANES pixels of it the shifted kernels are computed first; then the sums
    # of all colours stay in registers over all taps.
    result.bound(c, 0, channels).reorder(c, x, y, n).unroll(c).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    total.compute_at(result, x).vectorize(x, LANES).unroll(c).bound(c, 0, channels)
    total.update(0).reorder(c, x, row.x).vectorize(x, LANES).unroll(c)
    for longer in (down, across):
        longer.compute_at(result, x).vectorize(x, LANES)
    return Pipeline(result, *pixel.arguments)


@cached_pipeline
def _gradient_pipeline(channels: int, taps: int, bf16: bool, resampling: str) -> Pipeline:
    """Compute the gradients of x and the columns, then of y and the rows, as one output each."""
    pixel = _Pixel(taps, bf16, resampling)
    result = hl.Func("result")
    gradient = hl.ImageParam(hl.Float(32), 4, "gradient")
    down = pixel.shifted(pixel.vertical, pixel.part_y, "down")
    across = pixel.shifted(pixel.horizontal, pixel.part_x, "across")
    row = hl.RDom([(0, pixel.longer)], "row")
    line = hl.RDom([(0, pixel.longer)], "line")
    value = hl.Func("value")  # the pixel under a tap, weighted by the gradient of each colour
    value[x, j, k, y, n] = sum(
        gradient[x, y, z, n] * pixel.sampled(k, j, z) for z in range(channels)
    )
    grad_down, grad_across = hl.Func("grad_down"), hl.Func("grad_across")
    grad_down[x, k, y, n] = 0.0
    grad_across[x, k, y, n] = 0.0
    grad_down[x, k, y, n] += value[x, line.x, k, y, n] * across[x, line.x, y, n]
    grad_across[x, k, y, n] += value[x, k, row.x, y, n] * down[x, row.x, y, n]

    def grad_taps(longer: hl.Func, fraction: Any) -> Any:
        weights = shift_weights(fraction, resampling)
        return sum(weight * longer[x, k + offset, y, n] for offset, weight in enumerate(weights))

    def grad_fraction(longer: hl.Func, params: hl.ImageParam, fraction: Any) -> Any:
        slopes = shift_weight_slopes(fraction, resampling)
        spread = (
            sum(longer[x, tap + offset, y, n] * pixel.tap(params, tap) for tap in range(taps))
            for offset in range(len(slopes))
        )
        return sum(slope * total for slope, total in zip(slopes, spread, strict=True))

    tall, wide = hl.Func("tall"), hl.Func("wide")
    tall[x, k, y, n] = grad_taps(grad_down, pixel.part_y)
    wide[x, k, y, n] = grad_taps(grad_across, pixel.part_x)
    taken = [function[x, tap, y, n] for function in (tall, wide) for tap in range(taps)]
    grad_x = grad_fraction(grad_across, pixel.horizontal, pixel.part_x)
    grad_y = grad_fraction(grad_down, pixel.vertical, pixel.part_y)
    outputs = [grad_x, *taken[:taps], grad_y, *taken[taps:]]
    result[x, y, k, n] = hl.mux(k, outputs)
    # A task is a row. For LANES pixels of it all intermediate values are computed and stored before
    # any output, since every output needs most of them.
    result.bound(k, 0, len(outputs)).reorder(k, x, y, n).unroll(k).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    for function in (down, across, value, grad_down, grad_across):
        function.compute_at(result, x).vectorize(x, LANES)
    for function in (grad_down, grad_across):
        function.update(0).vectorize(x, LANES)
    return Pipeline(result, gradient, *pixel.arguments)
