"""Frames made smaller on CUDA, without gradients, as one Triton kernel."""

import triton
import triton.language as tl
from torch import Tensor

from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import TYPES, pixels

BLOCK = 128
"""Values that a program computes."""


def serves(frame: Tensor) -> bool:
    """Return whether the kernel takes such a frame."""
    return frame.is_cuda and frame.dtype in TYPES


def reduced(frame: Tensor, scale: int, multiple: int) -> Tensor:
    """See `midframe.ops.reduction.reduced`; the result is contiguous, whatever the layout of the frame."""
    samples, channels, rows, columns = frame.shape
    smaller = triton.cdiv(rows, scale), triton.cdiv(columns, scale)
    height, width = (triton.cdiv(size, multiple) * multiple for size in smaller)
    result = frame.new_empty(samples, channels, height, width)
    with device_guard(frame):
        _reduced[(triton.cdiv(samples * height * width, BLOCK), channels)](
            frame, result, *frame.stride(), samples=samples, rows=rows, columns=columns, height=height, width=width,
            smaller_rows=smaller[0], smaller_columns=smaller[1], scale=scale, block=BLOCK,
        )  # fmt: skip
    return result


@triton.jit(
    do_not_specialize=["fc", "samples", "rows", "columns", "height", "width", "smaller_rows", "smaller_columns"]
)  # type: ignore[untyped-decorator]
def _reduced(  # type: ignore[no-untyped-def]
    frame, result, fn, fc, fy, fx, samples, rows, columns, height, width, smaller_rows, smaller_columns,
    scale: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    n, y, x, real = pixels(samples, height, width, block)
    channel = tl.program_id(1)
    top, left = tl.minimum(y, smaller_rows - 1) * scale, tl.minimum(x, smaller_columns - 1) * scale
    total = tl.zeros((block,), tl.float32)
    for i in range(scale):
        for j in range(scale):
            at = tl.minimum(top + i, rows - 1) * fy + tl.minimum(left + j, columns - 1) * fx
            total += tl.load(frame + n * fn + channel * fc + at, real, 0.0).to(tl.float32)
    at = ((n * tl.num_programs(1) + channel) * height + y) * width + x
    tl.store(result + at, (total / (scale * scale)).to(result.dtype.element_ty), real)
