"""Types in which sums are kept."""

import torch
from torch import Tensor


def to_accumulation_type(*tensors: Tensor) -> list[Tensor]:
    """Convert tensors to one type in which many products can be summed.

    It is float64 if one of them is, otherwise float32.
    """
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if double else torch.float32) for tensor in tensors]
