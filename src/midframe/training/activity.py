"""How much of a network takes part: what lies before a ReLU that passes nothing is silent and does not learn."""

from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn


class Activity:
    """Measures, while it is entered, what share of its inputs each ReLU of a network passes. (Leaky ones pass all.)"""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __enter__(self) -> "Activity":
        bends = {
            name: module
            for name, module in self.network.named_modules()
            if isinstance(module, nn.ReLU)
        }
        self._counts: dict[str, list[Tensor]] = {name: [] for name in bends}
        self._hooks = [
            bend.register_forward_pre_hook(partial(self._count, name))
            for name, bend in bends.items()
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, name: str, _: nn.Module, inputs: Any) -> None:
        self._counts[name].append((inputs[0] > 0).sum() / inputs[0].numel())

    def shares(self) -> dict[str, float]:
        """The mean share of each ReLU that was used, from 0 to 1, by the ReLU's name in the network."""
        return {
            name: float(torch.stack(each).mean()) for name, each in self._counts.items() if each
        }
