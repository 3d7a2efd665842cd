"""FlowSep's steps besides its convolutions, each with its implementations side by side.

`<step>/plain.py` is PyTorch, `halide.py` the CPU form, `triton.py` the CUDA form. `protocol.py`
defines the steps, and `select_steps` is the only place that chooses between the implementations.
"""

from functools import cache

import torch
from torch import Tensor

from midframe.models.flowsep.steps.plain import PlainSteps
from midframe.models.flowsep.steps.protocol import Steps
from midframe.ops.dispatch import avoids_compilation, load_optional

__all__ = ["PlainSteps", "Steps", "select_steps"]


def select_steps(tensor: Tensor) -> Steps:
    """Return the implementation for tensors on the device of one, with or without gradients.

    FlowSep calls it once per call of its own, not for each step: whether gradients are needed, and
    the device, are not known earlier (`Module.to` may follow `for_inference`).
    """
    if torch.compiler.is_exporting() or avoids_compilation():
        return PlainSteps()
    return _steps_for(tensor.device.type, torch.is_grad_enabled())


@cache
def _steps_for(device: str, gradients: bool) -> Steps:
    """Return PyTorch on other devices, and if Halide or Triton is not installed."""
    loaders = {
        ("cpu", False): _load_halide,
        ("cpu", True): _load_halide_for_training,
        ("cuda", False): _load_triton,
        ("cuda", True): _load_triton_for_training,
    }
    load = loaders.get((device, gradients), PlainSteps)
    return load_optional(load) or PlainSteps()


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
