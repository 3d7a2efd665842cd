"""From what the last convolution of FlowSep's decoder says to the fields that frames are made by."""

import torch
from torch import Tensor

from midframe.ops.dispatch import cuda_module, forward_module

MIN_KERNEL_SUM = 0.2
"""Kernel sums are held above this before they divide."""
LEAST_TIME = 1e-3
"""The odds of a frame that is shown at a time nearer to the other one than this no longer change."""


def fields(outputs: Tensor, flow: Tensor, time: Tensor, taps: int, normalise: bool) -> Tensor:
    """Make fields, as `synthesise` takes them, of what a network says.

    Args:
        outputs: steps of the flows, the four kernels' differences from a delta, odds of the first frame and residual,
            (N, 4 + 4K + 4, h, w), float32 or bfloat16.
        flow: with its step (`refined`), (N, 4, h, w) float32.
        time: (N, 1, 1, 1).
        taps: K.
        normalise: divide kernels by their sums.

    Returns:
        (N, 4 + 4K + 4, h, w) float32. Differentiable; without gradients, on the CPU by Halide and on CUDA by Triton.
    """
    fast = cuda_module("fields_cuda", outputs, has_gradients=False) or forward_module("fields_cpu", outputs)
    if fast:
        result: Tensor = fast.fields(outputs, flow, time, taps, normalise)
        return result
    return fields_plainly(outputs, flow, time, taps, normalise)


def fields_plainly(outputs: Tensor, flow: Tensor, time: Tensor, taps: int, normalise: bool) -> Tensor:
    """`fields` in PyTorch."""
    outputs = outputs.float()
    _, kernels, mask, residual = torch.split(outputs, [4, 4 * taps, 1, 3], dim=1)
    kernels = kernels.reshape(len(outputs), 4, taps, *outputs.shape[2:]) + _delta(taps, outputs.device)[:, None, None]
    if normalise:
        kernels = kernels / kernels.sum(2, keepdim=True).clamp(min=MIN_KERNEL_SUM)
    return torch.cat((flow, kernels.flatten(1, 2), torch.sigmoid(mask + odds(time)), residual), dim=1)


def refined(flow: Tensor, outputs: Tensor, time: Tensor) -> Tensor:
    """Flows (N, 4, h, w) with the step that the first four channels of outputs say.

    What lies at a time moves in proportion to it, so at either end the flow to that frame vanishes.
    """
    share = torch.cat((time, time, 1 - time, 1 - time), dim=1) * 2
    return flow + share * outputs[:, :4].float()


def odds(time: Tensor) -> Tensor:
    """Logarithm of the first frame's odds at a time, as far as nothing else is known, (N, 1, 1, 1)."""
    return torch.log((1 - time).clamp(min=LEAST_TIME) / time.clamp(min=LEAST_TIME))


def _delta(taps: int, device: torch.device) -> Tensor:
    """Return a kernel that changes nothing, (K,), made on the device: CUDA graphs capture no copies from the host."""
    return (torch.arange(taps, device=device) == taps // 2).float()
