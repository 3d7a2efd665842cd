"""Separable convolution along a flow on the CPU, as Halide pipelines compiled for the processor at
hand.

A flow that leads between pixels shifts the kernels by a fraction of a pixel. They become one tap
(linear) or three (cubic) longer, and each tap lies on one whole pixel. For pixel (y, x):

    out[c] = sum_i shifted_vertical[i] * sum_j shifted_horizontal[j] * frame[c, top + i, left + j]

(top, left) is the first pixel under the shifted kernels. LANES neighbouring pixels are computed at
a time; as each has a flow of its own, the frame is gathered. Images are (x, y, c, n), kernels
(x, y, tap, n).
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
    kernel_type = vertical.dtype
    gradient, flow, vertical, horizontal = _pad_width(gradient, flow, vertical, horizontal)
    total = None
    for group in channel_groups(frame.shape[1], CHANNELS):
        of_group = frame.new_empty(len(frame), 2 * taps + 2, *flow.shape[2:])
        colours = frame[:, group]
        run = _gradient_pipeline(colours.shape[1], taps, kernel_type == torch.bfloat16, resampling)
        inputs = _inputs(colours, flow, vertical, horizontal)
        run(buffer(gradient[:, group]), *inputs, hl.Buffer(array(of_group)))
        total = of_group if total is None else total.add_(of_group)
    assert total is not None, "frames have a colour at least"
    grad_x, grad_vertical, grad_y, grad_horizontal = torch.split(
        total[..., :width], [1, taps, 1, taps], dim=1
    )
    return (
        torch.cat((grad_x, grad_y), dim=1),
        _own_memory(grad_vertical, kernel_type),
        _own_memory(grad_horizontal, kernel_type),
    )


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
        self.shifted_taps = taps + EXTRA_TAPS[resampling]
        source_x, source_y = x + self.flow[x, y, 0, n], y + self.flow[x, y, 1, n]
        self.whole_x = hl.floor(source_x)
        self.whole_y = hl.floor(source_y)
        self.fraction_x = source_x - self.whole_x
        self.fraction_y = source_y - self.whole_y

    @property
    def arguments(self) -> list[Any]:
        """In the order of `_inputs`."""
        return [self.frame, self.flow, self.vertical, self.horizontal, self.columns, self.rows]

    def tap(self, kernel: hl.ImageParam, tap: Any) -> Any:
        """Return a tap of a kernel, in float32."""
        return as_float(kernel[x, y, tap, n], self.bf16)

    def shift(self, kernel: hl.ImageParam, fraction: Any, name: str) -> hl.Func:
        """Return a kernel shifted by a fraction of a pixel, as a function of (x, k, y, n)."""
        result = hl.Func(name)
        total = 0.0
        for offset, weight in enumerate(shift_weights(fraction, self.resampling)):
            tap = self.tap(kernel, hl.clamp(k - offset, 0, self.taps - 1))
            total += hl.select((k >= offset) & (k < self.taps + offset), tap * weight, 0.0)
        result[x, k, y, n] = total
        return result

    def shift_both(self) -> tuple[hl.Func, hl.Func]:
        """Return the shifted vertical and horizontal kernels."""
        return (
            self.shift(self.vertical, self.fraction_y, "shifted_vertical"),
            self.shift(self.horizontal, self.fraction_x, "shifted_horizontal"),
        )

    def sample(self, i: Any, j: Any, channel: Any) -> Any:
        """Return the pixel of the frame under row i and column j of the shifted kernels."""
        before = self.taps // 2 + taps_before(self.resampling)
        column = _clamp_to_frame(self.whole_x + (j - before), self.columns)
        row = _clamp_to_frame(self.whole_y + (i - before), self.rows)
        return self.frame[column, row, channel, n]


def _clamp_to_frame(position: Any, size: hl.Param) -> Any:
    """Return the nearest pixel inside of a frame. Clamped as a whole number too: a NaN must not
    address memory."""
    inside = hl.clamp(position, 0.0, hl.cast(hl.Float(32), size - 1))
    return hl.clamp(hl.cast(hl.Int(32), inside), 0, size - 1)


@cached_pipeline
def _forward_pipeline(channels: int, taps: int, bf16: bool, resampling: str) -> Pipeline:
    pixel = _Pixel(taps, bf16, resampling)
    row = hl.RDom([(0, pixel.shifted_taps)])
    shifted_vertical, shifted_horizontal = pixel.shift_both()
    total = hl.Func("total")
    result = hl.Func("result")
    total[x, c, y, n] = 0.0
    filtered_row = sum(
        shifted_horizontal[x, tap, y, n] * pixel.sample(row.x, tap, c)
        for tap in range(pixel.shifted_taps)
    )
    total[x, c, y, n] += shifted_vertical[x, row.x, y, n] * filtered_row
    result[x, y, c, n] = total[x, c, y, n]
    # A task is a row. For LANES pixels of it the shifted kernels are computed first; then the sums
    # of all colours stay in registers over all taps.
    result.bound(c, 0, channels).reorder(c, x, y, n).unroll(c).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    total.compute_at(result, x).vectorize(x, LANES).unroll(c).bound(c, 0, channels)
    total.update(0).reorder(c, x, row.x).vectorize(x, LANES).unroll(c)
    for kernel in (shifted_vertical, shifted_horizontal):
        kernel.compute_at(result, x).vectorize(x, LANES)
    return Pipeline(result, *pixel.arguments)


@cached_pipeline
def _gradient_pipeline(channels: int, taps: int, bf16: bool, resampling: str) -> Pipeline:
    """Build the gradients of the flow and the kernels, as one output of 2 + 2 `taps` channels: flow
    along x, vertical taps, flow along y, horizontal taps."""
    pixel = _Pixel(taps, bf16, resampling)
    result = hl.Func("result")
    gradient = hl.ImageParam(hl.Float(32), 4, "gradient")
    shifted_vertical, shifted_horizontal = pixel.shift_both()
    row = hl.RDom([(0, pixel.shifted_taps)], "row")
    column = hl.RDom([(0, pixel.shifted_taps)], "column")
    value = hl.Func("value")  # the pixel under tap (k, j), times the gradient, summed over colours
    value[x, j, k, y, n] = sum(
        gradient[x, y, channel, n] * pixel.sample(k, j, channel) for channel in range(channels)
    )
    # The gradients of the shifted kernels.
    grad_vertical, grad_horizontal = hl.Func("grad_vertical"), hl.Func("grad_horizontal")
    grad_vertical[x, k, y, n] = 0.0
    grad_horizontal[x, k, y, n] = 0.0
    grad_vertical[x, k, y, n] += value[x, column.x, k, y, n] * shifted_horizontal[x, column.x, y, n]
    grad_horizontal[x, k, y, n] += value[x, k, row.x, y, n] * shifted_vertical[x, row.x, y, n]

    def grad_tap(grad_shifted: hl.Func, tap: int, fraction: Any) -> Any:
        weights = shift_weights(fraction, resampling)
        return sum(
            weight * grad_shifted[x, tap + offset, y, n] for offset, weight in enumerate(weights)
        )

    def grad_fraction(grad_shifted: hl.Func, kernel: hl.ImageParam, fraction: Any) -> Any:
        slopes = shift_weight_slopes(fraction, resampling)
        sums = (
            sum(grad_shifted[x, tap + offset, y, n] * pixel.tap(kernel, tap) for tap in range(taps))
            for offset in range(len(slopes))
        )
        return sum(slope * total for slope, total in zip(slopes, sums, strict=True))

    outputs = [
        grad_fraction(grad_horizontal, pixel.horizontal, pixel.fraction_x),
        *(grad_tap(grad_vertical, tap, pixel.fraction_y) for tap in range(taps)),
        grad_fraction(grad_vertical, pixel.vertical, pixel.fraction_y),
        *(grad_tap(grad_horizontal, tap, pixel.fraction_x) for tap in range(taps)),
    ]
    result[x, y, k, n] = hl.mux(k, outputs)
    # A task is a row. For LANES pixels of it all intermediate values are computed and stored before
    # any output, since every output needs most of them.
    result.bound(k, 0, len(outputs)).reorder(k, x, y, n).unroll(k).fuse(y, n, task).parallel(task)
    result.vectorize(x, LANES, hl.TailStrategy.ShiftInwards)
    sums = (grad_vertical, grad_horizontal)
    for function in (shifted_vertical, shifted_horizontal, value, *sums):
        function.compute_at(result, x).vectorize(x, LANES)
    for function in sums:
        function.update(0).vectorize(x, LANES)
    return Pipeline(result, gradient, *pixel.arguments)
