"""CUDA graphs of the functions of a network; without a GPU a replay calls the function again on the
same memory."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from midframe.models.flowsep import FlowSep, FlowSepConfig, cuda_graphs
from midframe.models.flowsep.cuda_graphs import Graph, Graphs

CAPTURED: list[str] = []


def replay_by_calls(function: Callable[..., Any], arguments: Any) -> Graph:
    CAPTURED.append(function.__name__)
    arguments = tree_map(lambda each: each.clone() if isinstance(each, Tensor) else each, arguments)
    outputs = function(*arguments)

    def replay() -> None:
        for output, value in zip(
            tree_flatten(outputs)[0], tree_flatten(function(*arguments))[0], strict=True
        ):
            if isinstance(output, Tensor):
                output.copy_(value)

    return Graph(
        replay, [each for each in tree_flatten(arguments)[0] if isinstance(each, Tensor)], outputs
    )


@pytest.fixture
def simulated_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    CAPTURED.clear()
    monkeypatch.setattr(cuda_graphs, "capture", replay_by_calls)
    monkeypatch.setattr(cuda_graphs, "can_run", lambda tensors: True)


def double(values: Tensor, others: list[Tensor], factor: int) -> tuple[Tensor, int]:
    return values * factor + others[0], factor


@pytest.mark.usefixtures("simulated_gpu")
def test_a_function_is_captured_on_its_second_run() -> None:
    graphs, results = Graphs(), []
    for number in range(4):
        results.append(graphs.run(double, torch.full((3,), float(number)), [torch.ones(3)], 2))
        assert ["double"] * (number > 0) == CAPTURED
    assert [(values.tolist(), factor) for values, factor in results] == [
        ([2.0 * n + 1] * 3, 2) for n in range(4)
    ]


@pytest.mark.usefixtures("simulated_gpu")
def test_each_size_argument_and_key_has_its_own_graph() -> None:
    graphs = Graphs()
    for size, factor, key in ((3, 2, 0), (4, 2, 0), (3, 5, 0), (3, 2, 1)):
        for _ in range(3):
            values, _ = graphs.run(double, torch.ones(size), [torch.ones(size)], factor, key=key)
            assert values.tolist() == [factor + 1.0] * size
    assert len(CAPTURED) == 4


@pytest.mark.usefixtures("simulated_gpu")
def test_only_the_most_recent_graphs_are_kept() -> None:
    graphs = Graphs(kept=2)
    for size in (1, 1, 2, 2, 3, 3, 1, 1):
        graphs.run(double, torch.ones(size), [torch.ones(size)], 2)
    assert len(CAPTURED) == 4  # the size 1 is captured again after two others


@pytest.mark.usefixtures("simulated_gpu")
def test_a_function_that_cannot_be_captured_runs_without_a_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> Graph:
        CAPTURED.append("failed")
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graphs, "capture", fail)
    graphs = Graphs()
    with pytest.warns(UserWarning, match="CUDA graph of double failed"):
        results = [
            graphs.run(double, torch.ones(3), [torch.ones(3)], 2)[0].tolist() for _ in range(4)
        ]
    assert results == [[3.0] * 3] * 4
    assert CAPTURED == ["failed"]


def test_functions_run_without_graphs_on_the_cpu() -> None:
    graphs = Graphs()
    for _ in range(3):
        assert graphs.run(double, torch.ones(3), [torch.ones(3)], 2)[0].tolist() == [3.0] * 3
    assert not graphs._graphs


@pytest.mark.usefixtures("simulated_gpu")
def test_a_deep_copy_has_no_graphs() -> None:
    graphs = Graphs()
    for _ in range(2):
        graphs.run(double, torch.ones(3), [torch.ones(3)], 2)
    assert graphs._graphs
    assert not copy.deepcopy(graphs)._graphs


@pytest.mark.usefixtures("simulated_gpu")
@torch.inference_mode()
def test_graphs_give_the_same_frames_for_several_encoded_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    eager = FlowSep(
        FlowSepConfig(widths=(8, 8, 8, 8), hidden=(8, 8, 8, 8), radii=(0, 1, 1, 1))
    ).for_inference()
    assert isinstance(eager, FlowSep)
    model = copy.deepcopy(eager)
    assert model.graphs is not None
    monkeypatch.setattr(model, "_run", model.graphs.run)
    pairs = [torch.rand(2, 1, 3, 40, 56).unbind() for _ in range(4)]
    rectangle = slice(0, 40), slice(0, 56)
    prepared = [model.prepare(*pair) for pair in pairs]
    for time in (0.5, 0.25):
        for pair, each in zip(pairs, prepared, strict=True):
            torch.testing.assert_close(
                model.render_tile(each, *rectangle, time), eager(*pair, time), atol=1e-5, rtol=1e-5
            )
    assert CAPTURED == ["_encode_pair", "_predict"]
