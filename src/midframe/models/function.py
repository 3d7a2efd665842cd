"""A function or module of one's own as a network."""

import inspect
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import torch
from torch import Tensor, nn

from midframe.models.checkpoint import load_model
from midframe.models.network import Network

FrameFunction = Callable[..., Tensor]
"""`f(first, second)` or `f(first, second, t)`: frames (N, 3, H, W) in [0, 1], t a float; returns
the frame at t (without t: the middle), like the frames."""


class FunctionNetwork(Network):
    """Interpolates by a function or module of one's own, whole frames at a time.

    Args:
        function: a `FrameFunction`. Frames with alpha are passed in two calls, the colours and
            three copies of alpha.

    Raises:
        ValueError: it does not take two or three frames and times, or is a class.
    """

    def __init__(self, function: FrameFunction) -> None:
        super().__init__()
        self.any_time = takes_time(function)
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__qualname__)
        # its code may change, so a video is resumed with the same object only
        self.config = (self.name, token_hex())

    def forward(self, first: Tensor, second: Tensor, t: Tensor | float = 0.5) -> Tensor:
        """See `Network`.

        Raises:
            ValueError: the result has another shape than the frames.
        """
        self.check_time(t)
        colours = self._call(first[:, :3], second[:, :3], t)
        if first.shape[1] == 3:
            return colours
        size = (-1, 3, -1, -1)
        alpha = self._call(first[:, 3:].expand(size), second[:, 3:].expand(size), t)
        return torch.cat((colours, alpha[:, :1]), dim=1)

    def _call(self, first: Tensor, second: Tensor, t: Tensor | float) -> Tensor:
        result = self.function(first, second, t) if self.any_time else self.function(first, second)
        if not isinstance(result, Tensor) or result.shape != first.shape:
            given = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ValueError(
                f"{self.name} returned {given} for frames {tuple(first.shape)}: "
                "a tensor of their shape is needed"
            )
        return result


def takes_time(function: Any) -> bool:
    """Return whether a function takes a time after two frames.

    Raises:
        ValueError: it takes neither `(first, second)` nor `(first, second, t)`.
    """
    if isinstance(function, type):
        raise ValueError(f"{function.__name__} is a class: give an object of it")
    called = function.forward if isinstance(function, nn.Module) else function
    signature = inspect.signature(called)
    for arguments in (("first", "second", 0.5), ("first", "second")):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 3
    raise ValueError(
        f"{type(function).__name__} takes {signature}: (first, second) or (first, second, t) "
        "is needed"
    )


def as_network(model: Network | FrameFunction | str | Path) -> Network:
    """Return a network, a function or module of one's own as a network, or load weights.

    Raises:
        ValueError: it is nothing of these.
        CheckpointError: the weights cannot be loaded.
    """
    if isinstance(model, Network):
        return model
    if isinstance(model, str | Path):
        return load_model(model)
    if callable(model):
        return FunctionNetwork(model)
    raise ValueError(
        f"model is {type(model).__name__}: give a name or file of weights, a network, or a "
        "function of two frames"
    )
