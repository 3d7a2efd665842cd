"""Operators under PyTorch's function transforms.

Custom operators of `torch.library` have neither forward-mode derivatives nor derivatives in
`torch.func`: there, the PyTorch implementations are differentiated by PyTorch itself.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from midframe.ops.dispatch import compilation_is_disabled


def uses_pytorch(*tensors: Tensor) -> bool:
    """Return whether operations on these tensors are to be those of PyTorch alone: in an export,
    without compilation, in `torch.func` transforms with derivatives, with tangents, and for an
    empty batch."""
    if torch.compiler.is_exporting() or compilation_is_disabled() or not len(tensors[0]):
        return True
    if torch.compiler.is_compiling():
        return False
    return _differentiates() or any(
        forward_ad.unpack_dual(each).tangent is not None  # type: ignore[no-untyped-call]
        for each in tensors
    )


def _differentiates() -> bool:
    """Return whether a `torch.func` transform other than `torch.vmap` is active."""
    # PyTorch has no public function for this; torch.autograd.function uses the same module
    functorch = torch._C._functorch
    stack = functorch.get_interpreter_stack() or []
    return any(level.key() != functorch.TransformType.Vmap for level in stack)


def map_over_batch(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule by which `torch.vmap` maps an operator on tensors (N, ...): the mapped axis
    becomes a part of N."""

    def rule(info: Any, axes: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        count = info.batch_size

        def fold(argument: Any, axis: int | None) -> Any:
            if not isinstance(argument, Tensor):
                return argument
            moved = argument.expand(count, *argument.shape) if axis is None else argument
            return moved.movedim(axis or 0, 0).flatten(0, 1)

        def unfold(result: Tensor) -> Tensor:
            return result.reshape(count, len(result) // count, *result.shape[1:])

        result = operator(*map(fold, arguments, axes))
        if isinstance(result, Tensor):
            return unfold(result), 0
        return tuple(map(unfold, result)), (0,) * len(result)

    return rule
