"""Dispatch: the choice of implementations and their parallel compilation."""

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


def test_compilation_is_disabled_only_in_the_block_and_thread() -> None:
    assert compilation_is_disabled() is False
    in_other_thread: list[bool] = []
    with without_compilation():
        with without_compilation():
            assert compilation_is_disabled()
        assert compilation_is_disabled()
        thread = Thread(target=lambda: in_other_thread.append(compilation_is_disabled()))
        thread.start()
        thread.join()
    assert in_other_thread == [False]
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


def test_without_compilation_only_cpu_implementations_are_disabled() -> None:
    loaders = {"cpu": lambda: "Halide", "cuda": lambda: "Triton"}
    with without_compilation():
        assert for_device(loaders, CPU) is None
        assert for_device(loaders, torch.device("cuda")) == "Triton"
    assert for_device(loaders, CPU) == "Halide"


@pytest.mark.parametrize(
    "error", [ImportError("broken", name="halide"), ImportError("a library is missing")]
)
def test_a_failed_import_is_reported_once_at_the_line_of_the_caller(
    error: ImportError,
) -> None:
    def load() -> Any:
        raise error

    with pytest.warns(UserWarning, match="using the slower PyTorch implementation") as caught:
        assert load_optional(load) is None
    assert [each.filename for each in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_optional(load) is None


def test_the_device_guard_of_a_cpu_tensor_selects_no_gpu() -> None:
    with device_guard(torch.zeros(1)) as guard:
        assert guard is None
    assert isinstance(device_guard(torch.zeros(1)), torch.cuda.device)


def test_parallel_calls_run_concurrently_in_inference_mode() -> None:
    barrier, modes = Barrier(3), []

    def call() -> None:
        barrier.wait(timeout=60)
        modes.append(torch.is_inference_mode_enabled())

    run_in_parallel(call, call, call)
    assert modes == [True, True, True]
