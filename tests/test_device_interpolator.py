import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from midframe.device_interpolator import MIN_TILE, DeviceInterpolator
from midframe.devices import choose_devices
from midframe.errors import CheckpointError, OptionError
from midframe.interpolator import Interpolator
from midframe.models.network import Network
from midframe.models.sepconv import SepConv
from midframe.options import InterpolationOptions

HALF = Fraction(1, 2)
Render = Callable[..., np.ndarray[Any, Any]]


class LimitedMemory(Network):
    """Averages both frames, and raises an out-of-memory error for tiles above a size."""

    any_time = True
    tile = 0

    def __init__(self, limit: int, margin: int = 0) -> None:
        super().__init__()
        self.limit = limit
        self._margin = margin
        self.sides: list[int] = []

    @property
    def margin(self) -> int:
        return self._margin

    def prepare(self, first: Tensor, second: Tensor) -> Any:
        return first, second

    def render_tile(self, prepared: Any, rows: slice, columns: slice, t: float = 0.5) -> Tensor:
        side = max(rows.stop - rows.start, columns.stop - columns.start)
        self.sides.append(side)
        if side > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        first, second = (each[..., rows, columns] for each in prepared)
        return torch.lerp(first, second, t)


def make_interpolator(model: Network, tile: int = 0) -> DeviceInterpolator:
    return DeviceInterpolator(model, torch.device("cpu"), tile=tile, depth=None)


@pytest.mark.parametrize(("tile", "margin"), [(0, 0), (0, 100), (512, 0)])
def test_tiles_become_smaller_when_memory_runs_out_and_stay_small(
    tile: int, margin: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = LimitedMemory(limit=200, margin=margin)
    tool = make_interpolator(model, tile)
    first, second = torch.rand(2, 1, 3, 400, 700)
    with caplog.at_level(logging.WARNING):
        output = tool.interpolate(first, second, [HALF])[0]
    torch.testing.assert_close(output, torch.lerp(first, second, 0.5))
    assert MIN_TILE <= tool.tile <= 200
    warnings = len(caplog.records)
    assert 1 <= warnings <= 3
    model.sides.clear()
    tool.interpolate(first, second, [HALF])
    assert max(model.sides) <= 200
    assert len(caplog.records) == warnings


def test_running_out_of_memory_with_the_smallest_tiles_raises_an_error() -> None:
    model = LimitedMemory(limit=50)
    with pytest.raises(torch.OutOfMemoryError):
        make_interpolator(model).interpolate(*torch.rand(2, 1, 3, 300, 300), [HALF])


def test_several_devices_give_the_same_frames_as_one(tiny_model: SepConv, frame: Render) -> None:
    one = Interpolator(tiny_model, device="cpu", precision="float32")
    several = Interpolator(tiny_model, device="cpu,cpu", precision="float32")
    pairs = [(frame(n), frame(n + 2)) for n in range(6)]
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(lambda pair: several.interpolate(*pair), pairs))
    for pair, result in zip(pairs, results, strict=True):
        assert np.array_equal(result, one.interpolate(*pair))


def test_simultaneous_pairs_are_distributed_to_all_devices(tiny_model: SepConv) -> None:
    tool = Interpolator(tiny_model, device="cpu,cpu", precision="float32")
    both = Barrier(2, timeout=60)
    used = []

    def work(_: int) -> None:
        with tool.on_free_device() as device_interpolator:
            used.append(id(device_interpolator))
            both.wait()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, range(2)))
    assert len(set(used)) == 2
    assert tool.pairs_at_once(64, 96) <= torch.get_num_threads()


@pytest.mark.parametrize("names", ["cpu,", "cpu;cpu", "gpu", "cuda:a"])
def test_invalid_names_of_devices_are_refused(names: str) -> None:
    with pytest.raises(OptionError, match="choose from auto, cpu, cuda"):
        InterpolationOptions(device=names)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
def test_an_unavailable_device_is_refused_with_the_available_ones() -> None:
    with pytest.raises(OptionError, match="'cuda:1' is not available: choose from auto, cpu"):
        choose_devices("cpu,cuda:1")


def test_devices_of_different_types_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(each) for each in choose_devices("cuda:0, cuda:1")] == ["cuda:0", "cuda:1"]
    with pytest.raises(OptionError, match="of one kind"):
        choose_devices("cpu,cuda:1")
    with pytest.raises(OptionError, match="choose from auto, cuda, cuda:0, cuda:1, cpu"):
        choose_devices("cuda:2")


def test_results_on_a_gpu_are_checked_after_the_device_is_released() -> None:
    """Waiting for the device while holding it would delay the other threads."""
    interpolator = Interpolator(lambda first, second: first * float("nan"), device="cpu")
    with interpolator.on_free_device() as device_interpolator:
        device_interpolator.device = SimpleNamespace(type="cuda")  # type: ignore[assignment]
        with pytest.raises(CheckpointError, match="not finite"):
            device_interpolator.interpolate(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), [0.5])


def test_a_bright_frame_in_float16_passes_the_finite_check() -> None:
    tool = DeviceInterpolator(LimitedMemory(1 << 20), torch.device("cpu"), tile=0, depth=None)
    tool._check_finite(torch.ones(1, 3, 256, 256, dtype=torch.float16))
