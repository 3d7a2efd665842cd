"""Downsampling on CUDA, without gradients, as one Triton kernel."""

import triton
import triton.language as tl
from torch import Tensor

from midframe.models.flowsep.steps.downsampling.reference import pad_to_multiple
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import block_pixels

BLOCK = 128
"""Values that a program computes."""
SIZES = [
    "stride_c", "samples", "rows", "columns", "height", "width", "smaller_rows", "smaller_columns"
]  # fmt: skip
"""Arguments whose values are not compiled in: one kernel supports all sizes."""


def downsample(frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
    """See `Steps.downsample`; the result is contiguous, whatever the layout of the frame."""
    if factor == 1:
        return pad_to_multiple(frame, multiple)
    samples, channels, rows, columns = frame.shape
    smaller_rows, smaller_columns = triton.cdiv(rows, factor), triton.cdiv(columns, factor)
    height = triton.cdiv(smaller_rows, multiple) * multiple
    width = triton.cdiv(smaller_columns, multiple) * multiple
    result = frame.new_empty(samples, channels, height, width)
    with device_guard(frame):
        _downsample[(triton.cdiv(samples * height * width, BLOCK), channels)](
            frame, result, *frame.stride(), samples=samples, rows=rows, columns=columns,
            height=height, width=width, smaller_rows=smaller_rows, smaller_columns=smaller_columns,
            factor=factor, block=BLOCK,
        )  # fmt: skip
    return result


@triton.jit(do_not_specialize=SIZES)  # type: ignore[untyped-decorator]
def _downsample(  # type: ignore[no-untyped-def]
    frame, result, stride_n, stride_c, stride_y, stride_x, samples, rows, columns, height, width,
    smaller_rows, smaller_columns, factor: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Average squares of one channel (program axis 1).

    Args:
        frame: (N, C, rows, columns), of any strides.
        result: (N, C, height, width), contiguous: the averages, `smaller_rows` by
            `smaller_columns`, then copies of the last row and column.
    """
    n, y, x, valid = block_pixels(samples, height, width, block)
    channel = tl.program_id(1)
    top = tl.minimum(y, smaller_rows - 1) * factor
    left = tl.minimum(x, smaller_columns - 1) * factor
    total = tl.zeros((block,), tl.float32)
    for i in range(factor):
        for j in range(factor):
            row, column = tl.minimum(top + i, rows - 1), tl.minimum(left + j, columns - 1)
            offset = row * stride_y + column * stride_x
            value = tl.load(frame + n * stride_n + channel * stride_c + offset, valid, 0.0)
            total += value.to(tl.float32)
    offset = ((n * tl.num_programs(1) + channel) * height + y) * width + x
    tl.store(result + offset, (total / (factor * factor)).to(result.dtype.element_ty), valid)
