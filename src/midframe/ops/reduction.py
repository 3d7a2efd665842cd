"""Frames made smaller by averaging, which is how networks read large ones."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from midframe.ops.dispatch import fast_module


def reduced(frame: Tensor, scale: int) -> Tensor:
    """A frame (N, C, H, W) so many times smaller, every value the mean of a square; what is left over is not seen.

    Differentiable; on the CPU, without gradients, float32 by Halide, which leaves the colours of pixels side by side.
    """
    if scale == 1:
        return frame
    if frame.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_exporting():
        module: Any = fast_module("reduction_cpu")
        if hasattr(module, "reduced") and frame.dtype == torch.float32 and min(frame.shape[2:]) >= scale:
            result: Tensor = module.reduced(frame, scale)
            return result
    return functional.avg_pool2d(frame, scale)
