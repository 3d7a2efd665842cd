"""Halide pipelines: threads, memory, and compilation in parallel."""

import gc
import time
import weakref
from importlib import import_module
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

import midframe
from midframe.models.flowsep import FlowSep, FlowSepConfig
from midframe.models.flowsep.compilation import compile_pipelines
from midframe.ops.dispatch import run_in_parallel

hl = pytest.importorskip("halide")
from midframe.ops import halide_tools  # noqa: E402  # it needs halide
from midframe.ops.halide_tools import Pipeline, cached_pipeline  # noqa: E402


def long_pipeline(count: int) -> Pipeline:
    """Return a pipeline of `count` different steps; the more steps, the longer it compiles."""
    x = hl.Var("x")
    image = hl.ImageParam(hl.Float(32), 1)
    result, value = hl.Func("result"), image[x]
    for step in range(count):
        value = value * image[x] + float(step)
    result[x] = value
    result.vectorize(x, 8).unroll(x, 8)
    return Pipeline(result, image)


def test_other_threads_run_while_a_pipeline_compiles() -> None:
    run, numbers = long_pipeline(400), np.zeros(64, np.float32)
    other = Thread(target=run, args=(hl.Buffer(numbers), hl.Buffer(np.empty_like(numbers))))
    begin, ticks = time.monotonic(), 0
    other.start()
    while other.is_alive():
        time.sleep(0.001)
        ticks += 1
    assert time.monotonic() - begin > 0.1, "the compilation is too short for this test"
    assert ticks > 10


def test_inputs_are_released_after_a_call() -> None:
    run, result = long_pipeline(1), np.empty(64, np.float32)
    numbers = np.arange(64, dtype=np.float32)
    reference = weakref.ref(numbers)
    run(hl.Buffer(numbers), hl.Buffer(result))
    assert np.array_equal(result, numbers**2)
    del numbers
    gc.collect()
    assert reference() is None


def test_a_pipeline_compiled_in_memory_runs_one_call_at_a_time() -> None:
    class Result:
        running, peak = 0, 0

        def realize(self, *_: object) -> None:
            self.running += 1
            self.peak = max(self.peak, self.running)
            time.sleep(0.02)
            self.running -= 1

    run, result = long_pipeline(1), Result()
    run._result = result
    numbers = np.zeros(64, np.float32)
    run_in_parallel(*[lambda: run(hl.Buffer(numbers), hl.Buffer(numbers))] * 4)
    assert result.peak == 1


def test_a_missing_argument_of_a_pipeline_raises_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        long_pipeline(1)(hl.Buffer(np.zeros(64, np.float32)))


def test_concurrent_threads_get_the_same_cached_pipeline() -> None:
    @cached_pipeline
    def build_slowly(count: int) -> Pipeline:
        time.sleep(0.05)
        return long_pipeline(count)

    pipelines: list[Pipeline] = []
    run_in_parallel(*[lambda: pipelines.append(build_slowly(1))] * 4)
    assert len(pipelines) == 4
    assert len({id(each) for each in pipelines}) == 1
    assert build_slowly(2) is not pipelines[0]


def test_the_error_of_one_parallel_call_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    calls: list[int] = []
    with pytest.raises(ZeroDivisionError):
        run_in_parallel(fail, lambda: calls.append(1))
    assert calls == [1]


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_flowsep_compiles_all_its_pipelines_in_advance(
    precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    class CountedPipeline(Pipeline):
        def __init__(self, *arguments: object) -> None:
            built.append("")
            super().__init__(*arguments)

    package = Path(midframe.__file__).parent
    for path in package.rglob("halide.py"):
        module = import_module(
            ".".join(("midframe", *path.relative_to(package).with_suffix("").parts))
        )
        if getattr(module, "Pipeline", None) is halide_tools.Pipeline:
            monkeypatch.setattr(module, "Pipeline", CountedPipeline)
    config = FlowSepConfig(
        widths=(16, 16, 16, 16), hidden=(16, 16, 16, 16), radii=(0, 1, 2, 2), taps=7
    )
    model = FlowSep(config).for_inference(precision)
    assert isinstance(model, FlowSep)
    model.scale = 2
    with torch.inference_mode():
        compile_pipelines(model, 3, 2)
        before = len(built)
        model(*torch.rand(2, 1, 3, 600, 800))
    assert before > 0
    assert len(built) == before
