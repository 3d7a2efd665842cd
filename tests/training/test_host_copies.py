"""A training step of FlowSep copies nothing between host and device, so that a CUDA graph can
capture it."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from midframe.models.flowsep import FlowSep
from midframe.training.losses import LOSSES, ColourLoss


class OperatorsOnHost(TorchDispatchMode):
    """Records operators that read or return tensors on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(
            isinstance(each, Tensor) and each.device.type == "cpu"
            for each in tree_leaves((args, kwargs, result))
        ):
            self.calls.append(str(func))
        return result


class NumberConversions(TorchFunctionMode):
    """Records functions that convert Python numbers, which are on the host, to tensors or back."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor, Tensor.item, Tensor.tolist):
            self.calls.append(func.__name__)
        return func(*args, **(kwargs or {}))


def step(model: FlowSep, first: Tensor, second: Tensor, time: Tensor | float, scale: int) -> None:
    loss = ColourLoss(dict.fromkeys(LOSSES, 1.0))
    estimate = model.estimate(first, second, time, scale)
    total, _ = loss(model.synthesise(first, second, estimate), first)
    total.backward()


def test_a_training_step_copies_nothing_from_the_host() -> None:
    model = FlowSep().to("meta")
    first, second = (torch.empty(2, 3, 64, 96, device="meta") for _ in range(2))
    for time, scale in ((0.5, 1), (torch.empty(2, device="meta"), 2)):
        step(
            model, first, second, time, scale
        )  # copies the constants that are then cached on the device
        with OperatorsOnHost() as operators, NumberConversions() as numbers:
            step(model, first, second, time, scale)
        assert not operators.calls
        assert not numbers.calls


def test_copies_from_the_host_are_detected() -> None:
    with OperatorsOnHost() as operators, NumberConversions() as numbers:
        (
            torch.empty(2, device="meta")
            + torch.zeros(2).to("meta")
            + torch.tensor([1.0, 2.0], device="meta")
        )
    assert operators.calls
    assert numbers.calls == ["tensor"]
