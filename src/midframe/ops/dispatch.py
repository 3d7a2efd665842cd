"""Import of the installed implementations, and parallel compilation."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import local
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
_loaded: dict[Callable[[], object], Any] = {}
"""Imported implementations by function; None if a package is not installed."""
_thread = local()


@contextmanager
def without_compilation() -> Iterator[None]:
    """Use the PyTorch implementations on the CPU in this block and this thread: for a few frames,
    compiling the faster implementations would take longer than it saves.
    """
    before = compilation_is_disabled()
    _thread.uncompiled = True
    try:
        yield
    finally:
        _thread.uncompiled = before


def compilation_is_disabled() -> bool:
    """Return whether this thread is in a block of `without_compilation`."""
    return getattr(_thread, "uncompiled", False)


def load_optional(load: Callable[[], Result]) -> Result | None:
    """Return the module that a function imports, or None, with one warning, if a package is not
    installed.

    The function is called once: its result is kept.
    """
    if load not in _loaded:
        _loaded[load] = _try(load)
    result: Result | None = _loaded[load]
    return result


def _try(load: Callable[[], Result]) -> Result | None:
    try:
        return load()
    except ImportError as error:
        if (error.name or "").startswith("midframe"):
            raise  # a bug of ours, not a missing package
        missing = isinstance(error, ModuleNotFoundError)
        reason = "is not installed" if missing else f"cannot be loaded ({error})"
        message = f"{error.name} {reason}; using the slower PyTorch implementation"
        warnings.warn(message, stacklevel=3)
        return None


def for_device(loaders: Mapping[str, Callable[[], Result]], device: torch.device) -> Result | None:
    """Return the implementation for a device, or None if there is none or it is not installed.

    Args:
        loaders: by type of device, functions that import an implementation.
        device: of the tensors.
    """
    if device.type == "cpu" and compilation_is_disabled():
        return None
    load = loaders.get(device.type)
    return None if load is None else load_optional(load)


def device_guard(tensor: Tensor) -> torch.cuda.device:
    """Return a context in which Triton launches kernels on a tensor's GPU; no effect on the CPU."""
    return torch.cuda.device(tensor.get_device())


def run_in_parallel(*calls: Callable[[], Any]) -> None:
    """Call all functions, each in a thread of its own, without gradients: pipelines that are
    compiled at their first call are compiled in parallel.
    """
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(torch.inference_mode()(call)) for call in calls]:
            done.result()
