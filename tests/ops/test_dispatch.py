"""Dispatch: the implementation for a device, and compilation of several of them together."""

import warnings
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from midframe.ops import dispatch
from midframe.ops.dispatch import (
    compilation_is_disabled,
    device_guard,
    for_device,
    load_optional,
    run_in_parallel,
    without_compilation,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_loaded", {})


def test_compilation_is_avoided_in_a_block_of_this_thread_only() -> None:
    assert compilation_is_disabled() is False
    elsewhere: list[bool] = []
    with without_compilation():
        with without_compilation():
            assert compilation_is_disabled()
        assert compilation_is_disabled()
        thread = Thread(target=lambda: elsewhere.append(compilation_is_disabled()))
        thread.start()
        thread.join()
    assert elsewhere == [False]
    assert not compilation_is_disabled()
    with pytest.raises(ZeroDivisionError), without_compilation():
        raise ZeroDivisionError
    assert not compilation_is_disabled()


def test_the_implementation_of_a_device_is_imported_once() -> None:
    calls: list[str] = []
    modules = {name: SimpleNamespace(name=name) for name in ("cpu", "cuda")}
    loaders = {
        "cpu": lambda: calls.append("cpu") or modules["cpu"],
        "cuda": lambda: calls.append("cuda") or modules["cuda"],
    }
    for _ in range(2):
        for name in ("cpu", "cuda"):
            assert for_device(loaders, torch.device(name)) is modules[name]
        assert for_device(loaders, torch.device("mps")) is None
    assert calls == ["cpu", "cuda"]


def test_only_implementations_of_the_cpu_are_avoided_with_their_compilation() -> None:
    loaders = {"cpu": lambda: "Halide", "cuda": lambda: "Triton"}
    with without_compilation():
        assert for_device(loaders, CPU) is None
        assert for_device(loaders, torch.device("cuda")) == "Triton"
    assert for_device(loaders, CPU) == "Halide"


@pytest.mark.parametrize(
    "error", [ImportError("broken", name="halide"), ImportError("a library is missing")]
)
def test_a_package_that_cannot_be_imported_is_reported_once_at_the_caller(
    error: ImportError,
) -> None:
    def load() -> Any:
        raise error

    with pytest.warns(UserWarning, match="using the slower PyTorch implementation") as found:
        assert load_optional(load) is None
    assert [each.filename for each in found] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_optional(load) is None


def test_a_tensor_on_the_cpu_selects_no_gpu() -> None:
    with device_guard(torch.zeros(1)) as guard:
        assert guard is None
    assert isinstance(device_guard(torch.zeros(1)), torch.cuda.device)


def test_calls_side_by_side_run_at_the_same_time_and_without_gradients() -> None:
    barrier, found = Barrier(3), []

    def call() -> None:
        barrier.wait(timeout=60)
        found.append(torch.is_inference_mode_enabled())

    run_in_parallel(call, call, call)
    assert found == [True, True, True]
