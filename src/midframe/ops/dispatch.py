"""Finding the implementation of an operator that serves some tensors."""

import warnings
from functools import cache
from importlib import import_module
from types import ModuleType

from torch import Tensor

from midframe.ops import reference


def implementation(name: str | None, *tensors: Tensor) -> ModuleType:
    """The fast module of a name if it is installed and serves the tensors, otherwise plain PyTorch."""
    module = fast_module(name) if name else reference
    return module if module is not reference and module.serves(*tensors) else reference


@cache
def fast_module(name: str) -> ModuleType:
    """Import a fast implementation, or take the plain one, with one warning, where what it needs is not installed."""
    try:
        return import_module(f"midframe.ops.{name}")
    except ImportError as error:
        warnings.warn(f"{name} gives way to plain PyTorch, which is slow, for want of {error.name}", stacklevel=2)
        return reference
