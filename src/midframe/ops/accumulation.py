"""Types in which sums are kept."""

import torch
from torch import Tensor


def to_accumulation_type(*tensors: Tensor) -> list[Tensor]:
    """Convert tensors to one type in which many products can be summed.

    It is float64 if one of them is, otherwise float32.
    """
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if double else torch.float32) for tensor in tensors]


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert a tensor of 16 bit to float32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def add_product(total: Tensor | None, first: Tensor, second: Tensor) -> Tensor:
    """Return a sum with a product added, in place where that is possible; None is an empty sum."""
    if total is None:
        return first * second
    if torch._C._are_functorch_transforms_active():  # torch.vmap does not map the other operation
        return torch.addcmul(total, first, second)
    return total.addcmul_(first, second)


def widen_on_cpu(frame: Tensor, *kernels: Tensor) -> list[Tensor]:
    """Convert tensors on the CPU to types that the fast implementations support: frames of 16 bit
    and kernels of float16 to float32."""
    if frame.device.type != "cpu":
        return [frame, *kernels]
    short = frame.dtype in (torch.float16, torch.bfloat16)
    wide = [kernel.float() if kernel.dtype == torch.float16 else kernel for kernel in kernels]
    return [frame.float() if short else frame, *wide]
