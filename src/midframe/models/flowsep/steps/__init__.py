"""FlowSep's steps besides its convolutions, each with its implementations side by side.

`<step>/reference.py` is in PyTorch, `halide.py` for the CPU, `triton.py` for CUDA. `protocol.py`
defines the steps, and `select_steps` chooses the implementation.
"""

from functools import cache

import torch
from torch import Tensor

from midframe.models.flowsep.steps.protocol import Steps
from midframe.models.flowsep.steps.reference import ReferenceSteps
from midframe.ops.dispatch import compilation_is_disabled, load_optional

__all__ = ["ReferenceSteps", "Steps", "select_steps"]


def select_steps(tensor: Tensor) -> Steps:
    """Return the implementation for the device of a tensor, with gradients if they are enabled.

    FlowSep calls it in each of its methods: device and gradients are not known in the constructor
    (`Module.to` may follow `for_inference`).
    """
    plain = tensor.dtype == torch.float64 or torch.compiler.is_compiling()  # exporting too
    if plain or compilation_is_disabled():
        return ReferenceSteps()
    return _steps_for(tensor.device.type, torch.is_grad_enabled())


@cache
def _steps_for(device: str, gradients: bool) -> Steps:
    """Return the implementation of a device; PyTorch's if there is none, or if Halide or Triton is
    not installed."""
    loaders = {
        ("cpu", False): _load_halide,
        ("cpu", True): _load_halide_for_training,
        ("cuda", False): _load_triton,
        ("cuda", True): _load_triton_for_training,
    }
    load = loaders.get((device, gradients), ReferenceSteps)
    return load_optional(load) or ReferenceSteps()


def _load_halide() -> Steps:
    from midframe.models.flowsep.steps.halide import HalideSteps

    return HalideSteps()


def _load_halide_for_training() -> Steps:
    from midframe.models.flowsep.steps.halide import HalideTrainingSteps

    return HalideTrainingSteps()


def _load_triton() -> Steps:
    from midframe.models.flowsep.steps.triton import TritonSteps

    return TritonSteps()


def _load_triton_for_training() -> Steps:
    from midframe.models.flowsep.steps.triton import TritonTrainingSteps

    return TritonTrainingSteps()
