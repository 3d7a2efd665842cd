"""Separable convolution along a flow on CUDA, by the kernels of `triton_kernels.py`.

The gradients of kernels and flow take two steps: `shifted_gradients` computes those of the shifted
kernels, `split_gradients` the others from these. Triton's interpreter runs the same kernels on the
CPU for tests without a GPU.
"""

from typing import Any

import torch
import triton
from torch import Tensor

from midframe.ops import triton_tools
from midframe.ops.flow_separable import triton_kernels
from midframe.ops.resampling import EXTRA_TAPS
from midframe.ops.triton_tools import TYPES

BLOCK = 64
"""Pixels that a program computes, a power of two."""
WARPS = 1
"""Warps per program: the taps are an axis too, so there is enough work for one."""
MAX_CHANNELS = 32
"""Largest number of colours, for which a program keeps sums; frames with more are left to
PyTorch."""


def supports(frame: Tensor, kernel: Tensor) -> bool:
    """Return whether these kernels support such tensors."""
    return triton_tools.supports(frame) and kernel.dtype in TYPES and frame.shape[1] <= MAX_CHANNELS


def flow_separable_forward(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str
) -> Tensor:
    """Filter along a flow; shapes as in `midframe.ops.flow_separable_convolution`."""
    result = frame.new_empty(*frame.shape[:2], *flow.shape[2:])
    inputs = [each.contiguous() for each in (frame, flow, vertical, horizontal)]
    sizes = _sizes(frame, vertical, resampling)
    channel_block = triton.next_power_of_2(frame.shape[1])
    triton_kernels.forward[_grid(flow)](
        *inputs, result, **sizes, channel_block=channel_block, num_warps=WARPS
    )
    return result


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
    count, taps, height, width = vertical.shape
    shifted_taps = taps + EXTRA_TAPS[resampling]
    grad_vertical = flow.new_empty(count, shifted_taps, height, width, dtype=torch.float32)
    grad_horizontal = torch.empty_like(grad_vertical)
    gradient = gradient.contiguous()
    frame = frame.contiguous()
    flow = flow.contiguous()
    vertical = vertical.contiguous()
    horizontal = horizontal.contiguous()
    sizes = _sizes(frame, vertical, resampling)
    triton_kernels.shifted_gradients[_grid(flow)](
        gradient, frame, flow, vertical, horizontal, grad_vertical, grad_horizontal,
        **sizes, num_warps=WARPS,
    )  # fmt: skip
    grad_flow, *grad_kernels = (torch.empty_like(each) for each in (flow, vertical, horizontal))
    fixed = {name: sizes[name] for name in ("height", "width", "taps", "extra", "block")}
    triton_kernels.split_gradients[_grid(flow)](
        grad_vertical, grad_horizontal, flow, vertical, horizontal, grad_flow, *grad_kernels,
        **fixed, num_warps=WARPS,
    )  # fmt: skip
    return grad_flow, grad_kernels[0], grad_kernels[1]


def flow_separable_frame_gradient(
    gradient: Tensor,
    frame: Tensor,
    flow: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    resampling: str,
) -> Tensor:
    """Return the gradient of the frame, in its shape and type. The order of summation varies from
    run to run."""
    result = torch.zeros(frame.shape, dtype=torch.float32, device=frame.device)
    inputs = [each.contiguous() for each in (gradient, flow, vertical, horizontal)]
    triton_kernels.frame_gradient[_grid(flow)](
        *inputs, result, **_sizes(frame, vertical, resampling), num_warps=WARPS
    )
    return result.to(frame.dtype)


def _grid(flow: Tensor) -> tuple[int, int]:
    return flow.shape[0] * flow.shape[2], triton.cdiv(flow.shape[3], BLOCK)


def _sizes(frame: Tensor, kernel: Tensor, resampling: str) -> dict[str, Any]:
    channels, rows, columns = frame.shape[1:]
    taps = kernel.shape[1]
    extra = EXTRA_TAPS[resampling]
    sizes = {"height": kernel.shape[2], "width": kernel.shape[3], "rows": rows, "columns": columns}
    fixed = {
        "taps": taps,
        "extra": extra,
        "tap_block": triton.next_power_of_2(taps + extra),
        "block": BLOCK,
    }
    return {**sizes, "channels": channels, **fixed}
