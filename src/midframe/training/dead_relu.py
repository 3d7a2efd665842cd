"""Detect dead ReLUs: units that are inactive for all inputs pass no gradient."""

import logging
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

DEAD_RELU_FRACTION = 0.002
"""A ReLU with a smaller fraction of active inputs is reported as dead."""


class ReluActivity:
    """Measure the fraction of active inputs of each ReLU of a network, as a context manager.

    Leaky ReLUs are not measured: they pass a gradient for every input.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __enter__(self) -> "ReluActivity":
        modules = self.network.named_modules()
        relus = {name: module for name, module in modules if isinstance(module, nn.ReLU)}
        self._fractions: dict[str, list[Tensor]] = {name: [] for name in relus}
        self._hooks = [
            relu.register_forward_pre_hook(partial(self._measure, name))
            for name, relu in relus.items()
        ]
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def _measure(self, name: str, _: nn.Module, inputs: Any) -> None:
        self._fractions[name].append((inputs[0] > 0).sum() / inputs[0].numel())

    def active_fractions(self) -> dict[str, float]:
        """Return the mean fraction of positive inputs of each ReLU that ran, by its name."""
        measured = {name: each for name, each in self._fractions.items() if each}
        return {name: float(torch.stack(each).mean()) for name, each in measured.items()}


def report_dead_relus(activity: ReluActivity) -> dict[str, float]:
    """Return the active fraction of the least active ReLU; log those that are dead."""
    fractions = activity.active_fractions()
    for name, fraction in fractions.items():
        if fraction < DEAD_RELU_FRACTION:
            log.warning(
                "dead ReLU %s: %.2f %% of its inputs are active, so the layers before it get no "
                "gradient; use network.slope or max_layer_gain",
                name,
                100 * fraction,
            )
    return {"least_active_relu": round(min(fractions.values()), 4)} if fractions else {}
