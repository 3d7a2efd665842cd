"""Finding the implementation of an operator that serves some tensors, and having several of them compile together."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor

from midframe.ops import reference

Result = TypeVar("Result")


def implementation(name: str | None, *tensors: Tensor) -> ModuleType:
    """The fast module of a name if it is installed and serves the tensors, otherwise plain PyTorch."""
    module = fast_module(name) if name else reference
    return module if module is not reference and module.serves(*tensors) else reference


def forward_module(name: str, tensor: Tensor) -> Any:
    """The fast module of a name that serves a tensor on the CPU without gradients; None if they are wanted."""
    if torch.is_grad_enabled() or torch.compiler.is_exporting() or tensor.device.type != "cpu":
        return None
    module = implementation(name, tensor)
    return None if module is reference else module


def cuda_module(name: str, *tensors: Tensor, has_gradients: bool = True) -> Any:
    """Return the module of Triton kernels of a name if the tensors are on CUDA and it serves them, otherwise None.

    A module that has no gradients serves only where none are wanted.
    """
    if torch.compiler.is_exporting() or not all(tensor.is_cuda for tensor in tensors):
        return None
    if torch.is_grad_enabled() and not has_gradients:
        return None
    module = implementation(name, *tensors)
    return None if module is reference else module


def device_guard(tensor: Tensor) -> torch.cuda.device:
    """Return a context in which Triton launches kernels on a tensor's card; without effect on the CPU."""
    return torch.cuda.device(tensor.get_device())


@cache
def fast_module(name: str) -> ModuleType:
    """Import a fast implementation, or take the plain one, with one warning, where what it needs is not installed."""
    try:
        return import_module(f"midframe.ops.{name}")
    except ImportError as error:
        warnings.warn(f"{name} gives way to plain PyTorch, which is slow, for want of {error.name}", stacklevel=2)
        return reference


def load_optional(load: Callable[[], Result]) -> Result | None:
    """Return what `load` imports, or None, with a warning, where a package is not installed."""
    try:
        return load()
    except ImportError as error:
        message = f"{error.name} is not installed; using the slower PyTorch implementation"
        warnings.warn(message, stacklevel=2)
        return None


def side_by_side(*calls: Callable[[], Any]) -> None:
    """Call all, each in a thread of its own, without gradients: what compiles at its first call does so together."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(torch.inference_mode()(call)) for call in calls]:
            done.result()
