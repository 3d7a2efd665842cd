"""Constants on the device that uses them."""

from functools import cache
from typing import Any

import torch
from torch import Tensor


def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Return numbers, or tuples of them, as a tensor on a device; it is copied there once and
    cached.

    CUDA graphs capture no copies from the host, and each copy waits for the device.
    """
    # true while exporting too; tensors of a trace cannot be used after it
    if torch.compiler.is_compiling():
        return torch.tensor(values, device=device)
    return _cached(values, device)


@cache
def _cached(values: tuple[Any, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)
