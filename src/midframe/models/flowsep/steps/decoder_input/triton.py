"""The decoder's input on CUDA: Triton kernels that write into one tensor, channels innermost.

Forward (`triton_kernels.py`):

1. `warp`: the features of both frames at the positions of their flows.
2. `correlate`: the features of 16 pixels in a row are multiplied with those of all pixels around
   them, as a product of matrices on tensor cores; what is within the radius is kept.
3. `fill`: the other channels.

Backward (`triton_gradients.py`):

1. `gradients`: the gradient of the warped features, which is not stored but added at once to those
   of the features and of the flow.
2. `carried_gradient`: the gradient of the carried features.

Triton's interpreter runs the same kernels on the CPU for tests without a GPU.
"""

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable
from triton.runtime.jit import JITFunction

from midframe.models.flowsep.steps.decoder_input import triton_gradients, triton_kernels
from midframe.models.flowsep.steps.decoder_input.reference import CORRELATION_GAIN, MIN_LENGTH
from midframe.ops.dispatch import device_guard
from midframe.ops.triton_tools import MIN_DOT, channels_innermost, product_precision

VALUES = 2048
"""Values that a program of the element-wise kernels computes, pixels times channels."""
BLOCK = 16
"""Pixels in a row whose correlation a program computes: the smallest side of a matrix on tensor
cores, since more of the products of a larger block would be outside the radius."""
WINDOW = 32
"""Pixels of the other frame that are multiplied with them at a time."""
CHUNK = 64
"""Largest number of channels that are multiplied at a time."""
ROW_BLOCK = 32
"""Pixels in a row of a backward program where nothing is correlated."""
WARP_VALUES = 256
"""Values of the warped features whose gradient a warp computes: more do not fit into its
registers."""


def decoder_input(
    features: Tensor,
    carried: Tensor | None,
    flow: Tensor,
    t: Tensor,
    radius: int,
    multiple: int = 1,
) -> Tensor:
    """See `Steps.decoder_input`. Differentiable once; the order of summation of the gradients
    varies."""
    with device_guard(features):
        result: Tensor = _DecoderInput.apply(  # type: ignore[no-untyped-call]
            features, carried, flow, t, radius, multiple
        )
    return result


class _DecoderInput(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        features: Tensor,
        carried: Tensor | None,
        flow: Tensor,
        t: Tensor,
        radius: int,
        multiple: int,
    ) -> Tensor:
        inner = channels_innermost(features)
        flow = flow.float().contiguous()
        result, scales = forward(inner, carried, flow, t, radius, multiple)
        ctx.radius = radius
        ctx.depth = 0 if carried is None else carried.shape[1]
        ctx.save_for_backward(inner, flow, result, scales)
        return result.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        inner, flow, result, scales = ctx.saved_tensors
        grad_output = channels_innermost(gradient)
        needs_features, needs_carried, needs_flow, needs_t, *_ = ctx.needs_input_grad
        grad_features = grad_carried = grad_flow = grad_t = None
        carried_offset = 2 * inner.shape[3] + _displacements(ctx.radius)
        flow_offset = carried_offset + ctx.depth
        t_offset = flow_offset + flow.shape[1]
        if needs_features or needs_flow:
            grad_features, grad_flow = gradients(
                grad_output, inner, flow, result, scales, ctx.radius, flow_offset
            )
        if ctx.depth and needs_carried:
            grad_carried = carried_gradient(grad_output, carried_offset, ctx.depth)
        if needs_t:
            grad_t = grad_output[..., t_offset].float().sum((1, 2)).view(-1, 1, 1, 1)
        return grad_features, grad_carried, grad_flow, grad_t, None, None


def forward(
    inner: Tensor, carried: Tensor | None, flow: Tensor, t: Tensor, radius: int, multiple: int
) -> tuple[Tensor, Tensor]:
    """Return the decoder's input and the factors that normalise the features to length 1.

    Args:
        inner: features of both frames, (2N, h, w, C), contiguous.
        carried, t, radius, multiple: as in `Steps.decoder_input`.
        flow: (N, 4, h, w) float32, contiguous.

    Returns:
        (N, h, w, channels) in the type of the features, and (2, N, h, w) float32.
    """
    doubled, height, width, channels = inner.shape
    samples = doubled // 2
    depth = 0 if carried is None else carried.shape[1]
    offset = 2 * channels + _displacements(radius)  # of the carried features
    used_channels = offset + depth + flow.shape[1] + 1  # 1 for t
    total = triton.cdiv(used_channels, multiple) * multiple
    result = inner.new_empty(samples, height, width, total)
    scales = torch.empty(2, samples, height, width, dtype=torch.float32, device=inner.device)
    sizes = {"samples": samples, "height": height, "width": width, "total": total}
    pixels = samples * height * width
    channel_block = triton.next_power_of_2(channels)
    block = max(1, VALUES // channel_block)
    triton_kernels.warp[(triton.cdiv(pixels, block), 2)](
        inner, flow, result, scales, **sizes,
        channels=channels, min_length=MIN_LENGTH if radius else 0.0,
        channel_block=channel_block, block=block,
    )  # fmt: skip
    if radius:
        triton_kernels.correlate[(samples * height, triton.cdiv(width, BLOCK))](
            result, scales, **sizes, radius=radius, channels=channels, gain=CORRELATION_GAIN,
            chunk=min(CHUNK, _dot_size(channels)), window=WINDOW, block=BLOCK,
            precision=product_precision(),
            upcast=_upcast(inner), num_warps=2, num_stages=1,
        )  # fmt: skip
    channel_block = triton.next_power_of_2(max(depth, 1))
    tail = triton.next_power_of_2(total - offset - depth)
    block = max(1, VALUES // max(channel_block, tail))
    triton_kernels.fill[(triton.cdiv(pixels, block),)](
        inner if carried is None else channels_innermost(carried), flow,
        t.float().reshape(-1).contiguous(), result,
        **sizes, offset=offset, depth=depth, channel_block=channel_block, tail=tail, block=block,
    )  # fmt: skip
    return result, scales


def gradients(
    grad_output: Tensor,
    inner: Tensor,
    flow: Tensor,
    result: Tensor,
    scales: Tensor,
    radius: int,
    flow_offset: int,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the features and of the flow.

    Args:
        grad_output: the gradient of the result, (N, h, w, channels), contiguous.
        inner, flow, result, scales: arguments and results of `forward`.
        radius: of the correlation.
        flow_offset: the channel of the result that the flow begins at.

    Returns:
        (2N, C, h, w) in the type of the features, and (N, 4, h, w) float32.
    """
    doubled, height, width, channels = inner.shape
    grad_features = torch.zeros(inner.shape, dtype=torch.float32, device=inner.device)
    grad_flow = torch.empty_like(flow)
    channel_block = _dot_size(channels)
    block = BLOCK if radius else ROW_BLOCK
    triton_gradients.gradients[(doubled // 2 * height, triton.cdiv(width, block), 2)](
        grad_output, inner, flow, result, scales, grad_features, grad_flow,
        samples=doubled // 2, height=height, width=width, total=result.shape[3],
        radius=radius, channels=channels, flow_offset=flow_offset, gain=CORRELATION_GAIN,
        min_length=MIN_LENGTH,
        channel_block=channel_block, window=WINDOW, block=block,
        precision=product_precision(), upcast=_upcast(inner),
        num_warps=min(8, max(1, channel_block * block // WARP_VALUES)), num_stages=1,
    )  # fmt: skip
    return grad_features.to(inner.dtype).permute(0, 3, 1, 2), grad_flow


def carried_gradient(grad_output: Tensor, offset: int, depth: int) -> Tensor:
    """Return the gradient of the carried features, (N, D, h/2, w/2), from channels at an offset of
    the result's."""
    samples, height, width, total = grad_output.shape
    result = grad_output.new_empty(samples, height // 2, width // 2, depth)
    channel_block = triton.next_power_of_2(depth)
    block = max(1, VALUES // (2 * channel_block))
    triton_gradients.carried_gradient[(triton.cdiv(result[..., 0].numel(), block),)](
        grad_output, result, samples=samples, height=height // 2, width=width // 2,
        total=total, step=depth, offset=offset, depth=depth,
        channel_block=channel_block, block=block,
    )  # fmt: skip
    return result.permute(0, 3, 1, 2)


def _displacements(radius: int) -> int:
    return (2 * radius + 1) ** 2 if radius else 0


def _dot_size(channels: int) -> int:
    return max(MIN_DOT, int(triton.next_power_of_2(channels)))


def _upcast(features: Tensor) -> bool:
    """Return whether products use float32 values: Triton's interpreter does not multiply
    bfloat16."""
    return features.dtype == torch.bfloat16 and not isinstance(triton_kernels.warp, JITFunction)
