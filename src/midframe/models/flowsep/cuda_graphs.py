"""CUDA graphs: many small kernels of a network are launched together."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from midframe.ops.dispatch import device_guard

Result = TypeVar("Result")
MAX_GRAPHS = 6
"""Number of most recently used graphs that are kept; each keeps the memory of its results."""


class Graph(NamedTuple):
    """A captured function."""

    replay: Callable[[], None]
    inputs: list[Tensor]
    """Memory of its arguments."""
    outputs: Any
    """Memory of its result."""


class Graphs:
    """Runs functions of tensors as CUDA graphs, one for each function and signature.

    The first call runs the function without a graph, which also loads and tunes its kernels; the
    second call captures it, and later calls replay the graph. The function must not copy between
    host and device. A deep copy of the object starts without graphs.
    """

    def __init__(self, kept: int = MAX_GRAPHS) -> None:
        self._graphs: OrderedDict[Hashable, Graph | None] = OrderedDict()
        self._failed: set[Hashable] = set()
        self._kept = kept
        self._lock = Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Graphs:
        return Graphs(self._kept)

    def run(self, function: Callable[..., Result], *arguments: Any, key: Hashable = None) -> Result:
        """Call a function, as a CUDA graph if possible.

        Args:
            function: to call.
            arguments: tensors and other values, possibly nested in lists or tuples; each
                combination of other values has its own graph.
            key: identifies everything else that the result depends on.
        """
        leaves, form = tree_flatten(arguments)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if not can_run(tensors):
            return function(*arguments)
        key = key, function.__name__, str(form), tuple(map(_signature, leaves))
        with self._lock, torch.inference_mode(), device_guard(tensors[0]):
            result: Result = self._run(key, function, arguments, tensors)
            return result

    def _run(
        self, key: Hashable, function: Callable[..., Any], arguments: Any, tensors: list[Tensor]
    ) -> Any:
        graph = self._graphs.get(key)
        if graph is None and key in self._graphs and key not in self._failed:
            graph = self._capture(key, function, arguments)
        self._graphs[key] = graph
        self._graphs.move_to_end(key)
        while len(self._graphs) > self._kept:
            self._graphs.popitem(last=False)
        if graph is None:
            return function(*arguments)
        for place, tensor in zip(graph.inputs, tensors, strict=True):
            place.copy_(tensor)
        graph.replay()
        return tree_map(_copy, graph.outputs)

    def _capture(self, key: Hashable, function: Callable[..., Any], arguments: Any) -> Graph | None:
        """Capture a function; return None, with a warning, if the capture fails."""
        try:
            return capture(function, arguments)
        except RuntimeError as error:  # for example, out of memory
            self._failed.add(key)
            reason = str(error).splitlines()[0]
            warnings.warn(
                f"CUDA graph of {function.__name__} failed, running without: {reason}", stacklevel=2
            )
            return None


def can_run(tensors: list[Tensor]) -> bool:
    """Return whether a function of these tensors can run as a CUDA graph now."""
    if (
        torch.is_grad_enabled()
        or torch.compiler.is_exporting()
        or not all(tensor.is_cuda for tensor in tensors)
    ):
        return False
    return bool(tensors) and not torch.cuda.is_current_stream_capturing()


def capture(function: Callable[..., Any], arguments: Any) -> Graph:
    """Capture a function; it must have run before with arguments of the same signature."""
    arguments = tree_map(_copy, arguments)
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    # thread_local, because other threads may copy frames during the capture
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = function(*arguments)
    inputs = [leaf for leaf in tree_flatten(arguments)[0] if isinstance(leaf, Tensor)]
    return Graph(graph.replay, inputs, outputs)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _signature(leaf: Any) -> Hashable:
    if not isinstance(leaf, Tensor):
        return repr(leaf)
    return tuple(leaf.shape), tuple(leaf.stride()), leaf.dtype, leaf.device
