import os
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from midframe.api import interpolate
from midframe.device_interpolator import DeviceInterpolator, halving_steps
from midframe.devices import choose_precision
from midframe.interpolator import Interpolator
from midframe.models.checkpoint import build_model, save_model
from midframe.models.network import tiles
from midframe.models.sepconv import SepConv
from midframe.models.shipped import list_models
from midframe.times import nearest_time

Render = Callable[..., np.ndarray[Any, Any]]


@pytest.fixture
def tool(tiny_model: SepConv) -> Interpolator:
    return Interpolator(tiny_model, device="cpu", precision="float32")


@pytest.mark.parametrize("size", [(64, 96), (37, 51), (1, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_output_has_the_size_and_data_type_of_the_input(
    tool: Interpolator, frame: Render, size: tuple[int, int], dtype: type
) -> None:
    first, second = (
        frame(t, *size).astype(dtype) * (257 if dtype == np.uint16 else 1) for t in (0, 1)
    )
    output = tool.interpolate(first, second)
    assert output.shape == first.shape
    assert output.dtype == dtype


def test_the_middle_of_two_equal_frames_is_nearly_the_same_frame(frame: Render) -> None:
    tool = Interpolator("sepconv", device="cpu")
    first = frame(0)
    output = tool.interpolate(first, first).astype(int)
    assert abs(output - first).mean() < 2.5
    assert abs(output.mean() - first.mean()) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_tiles_equal_the_full_frame(frame: Render, precision: str) -> None:
    first, second = frame(0, 200, 328), frame(2, 200, 328)
    outputs = [
        Interpolator("sepconv", device="cpu", tile=tile, precision=precision).interpolate(
            first, second
        )
        for tile in (0, 96)
    ]
    differences = abs(outputs[0].astype(int) - outputs[1])
    assert differences.max() <= (1 if precision == "float32" else 3)
    assert (differences > 1).mean() < 1e-4


def test_tiles_cover_every_pixel_of_a_frame_once() -> None:
    count = np.zeros((130, 200), int)
    rectangles = tiles(130, 200, size=64, margin=20)
    for rows, columns in rectangles:
        count[rows, columns] += 1
        assert count[rows, columns].size <= 64 * 64
    assert (count == 1).all()
    assert len(tiles(130, 200, size=160, margin=20)) == len(tiles(130, 200, size=0, margin=0)) == 1


@pytest.mark.parametrize(
    ("times", "steps"),
    [("1/2", "1/2"), ("1/4", "1/2 1/4"), ("5/8 1/4", "1/2 1/4 3/4 5/8"), ("1", "")],
)
def test_halving_steps_interpolate_the_neighbours_of_a_time_first(times: str, steps: str) -> None:
    assert halving_steps([Fraction(each) for each in times.split()]) == [
        Fraction(each) for each in steps.split()
    ]


def test_progress_increases_to_1_over_tiles_and_frames(tiny_model: SepConv, frame: Render) -> None:
    tool = Interpolator(tiny_model, device="cpu", precision="float32", tile=32)
    fractions: list[float] = []
    tool.interpolate_many(
        frame(0), frame(4), [Fraction(1, 4), Fraction(1, 2)], progress=fractions.append
    )
    assert fractions == sorted(fractions)
    assert len(fractions) == 2 * 6
    assert fractions[-1] == 1


def test_the_given_network_is_not_modified(tiny_model: SepConv, frame: Render) -> None:
    tiny_model.train()
    Interpolator(tiny_model, device="cpu", precision="bfloat16").interpolate(frame(0), frame(1))
    assert tiny_model.training
    assert next(tiny_model.parameters()).dtype == torch.float32


def test_other_times_are_interpolated_by_halving(tool: Interpolator, frame: Render) -> None:
    first, second = frame(0), frame(4)
    middle = tool.interpolate(first, second)
    times = [0, Fraction(1, 4), 0.5, Fraction(3, 4), 1]
    frames = tool.interpolate_many(first, second, times)
    assert np.array_equal(frames[0], first)
    assert np.array_equal(frames[4], second)
    assert np.array_equal(frames[2], middle)
    quarter = tool.interpolate(first, middle).astype(int)
    assert abs(frames[1] - quarter).max() <= 1  # the middle frame is not rounded in between


def test_each_frame_is_interpolated_once(
    tool: Interpolator, frame: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []
    middle = DeviceInterpolator.middle
    monkeypatch.setattr(
        DeviceInterpolator, "middle", lambda *arguments: calls.append(None) or middle(*arguments)
    )
    tool.interpolate_many(frame(0), frame(4), [Fraction(n, 8) for n in range(1, 8)])
    assert len(calls) == 7


@pytest.mark.parametrize(
    ("time", "depth", "expected"),
    [(1 / 3, 2, "1/4"), (1 / 3, 4, "5/16"), (0.5, 1, "1/2"), (1, 3, "1")],
)
def test_times_are_rounded_to_the_nearest_time_that_halving_reaches(
    time: float, depth: int, expected: str
) -> None:
    assert nearest_time(time, depth) == Fraction(expected)


@pytest.mark.parametrize("time", [-0.1, 1.5])
def test_times_outside_0_to_1_are_refused(tool: Interpolator, frame: Render, time: float) -> None:
    with pytest.raises(ValueError, match=str(time)):
        tool.interpolate(frame(0), frame(1), time)


def test_unequal_and_unsupported_frames_are_refused(tool: Interpolator, frame: Render) -> None:
    with pytest.raises(ValueError, match=r"\(64, 96, 3\).*\(64, 90, 3\)"):
        tool.interpolate(frame(0), frame(0, 64, 90))
    with pytest.raises(ValueError, match=r"\(64, 96\)"):
        tool.interpolate(frame(0)[..., 0], frame(0)[..., 0])
    with pytest.raises(ValueError, match="float32"):
        tool.interpolate(frame(0).astype(np.float32), frame(0).astype(np.float32))


@pytest.mark.slow
def test_bfloat16_and_float32_give_similar_frames(frame: Render) -> None:
    first, second = frame(0), frame(2)
    outputs = [
        Interpolator("sepconv", device="cpu", precision=name).interpolate(first, second)
        for name in ("float32", "bfloat16")
    ]
    assert abs(outputs[0].astype(int) - outputs[1]).mean() < 0.5


def test_invalid_settings_are_refused(tiny_model: SepConv) -> None:
    for wrong in ({"device": "abacus"}, {"precision": "float8"}, {"tile": -1}, {"depth": 0}):
        with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
            Interpolator(tiny_model, **wrong)  # type: ignore[arg-type]
    assert choose_precision("auto", torch.device("cuda")) == torch.float16


def test_sepconv_is_shipped() -> None:
    assert "sepconv" in list_models()


def test_values_outside_0_to_1_are_kept_in_float32(tool: Interpolator, frame: Render) -> None:
    wide = frame(0).astype(np.float32) / 255 * 1.5 - 0.25
    assert wide.max() > 1.1
    assert wide.min() < -0.1
    output = tool.interpolate(wide, wide)
    assert output.dtype == np.float32
    assert output.max() > 1.1
    assert output.min() < -0.1


def test_file_names_and_a_single_time_are_refused_with_the_remedy() -> None:
    tool = Interpolator("flowsep-small", device="cpu")
    grey = np.full((32, 32, 3), 128, np.uint8)
    with pytest.raises(ValueError, match="must be NumPy arrays, got str and ndarray"):
        tool.interpolate("first.png", grey)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"as in \[0.25\]"):
        tool.interpolate_many(grey, grey, 0.25)  # type: ignore[arg-type]


def test_frames_may_be_read_only_arrays(tool: Interpolator, frame: Render) -> None:
    first, second = frame(0), frame(1)
    expected = tool.interpolate(first, second)
    first.flags.writeable = second.flags.writeable = False
    assert np.array_equal(tool.interpolate(first, second), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 255])
def test_samples_that_are_not_finite_or_far_out_of_range_are_refused(
    tool: Interpolator, value: float
) -> None:
    good = np.zeros((8, 8, 3), np.float32)
    bad = good.copy()
    bad[3, 4, 1] = value
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="nominally from 0 to 1, got"):
            tool.interpolate(*pair)


def test_float32_results_do_not_share_memory_with_frames(tool: Interpolator) -> None:
    first = np.zeros((8, 8, 3), np.float32)
    frames = tool.interpolate_many(first, first, [0, 0, 1])
    for each in (*frames[1:], first):
        assert not np.shares_memory(frames[0], each)


def test_times_may_be_numpy_and_pytorch_scalars() -> None:
    for time in (np.float32(0.25), np.array(0.25), torch.tensor(0.25)):
        assert nearest_time(time, None) == Fraction(1, 4)
    for wrong in (None, float("nan"), 1j, "soon"):
        with pytest.raises(ValueError, match="from 0"):
            nearest_time(wrong, None)


def test_a_device_may_be_that_of_pytorch_and_times_are_no_text(tiny_model: SepConv) -> None:
    tool = Interpolator(tiny_model, device=torch.device("cpu"))
    assert tool.options.device == "cpu"
    frame = np.zeros((8, 8, 3), np.uint8)
    assert interpolate(frame, frame, device=torch.device("cpu")).shape == frame.shape
    with pytest.raises(ValueError, match=r"`times` is 0\.5: a sequence is needed"):
        tool.interpolate_many(frame, frame, "0.5")  # type: ignore[arg-type]


def test_a_forked_process_uses_one_thread(
    tool: Interpolator,
    frame: Render,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        tool.interpolate(frame(0, 16, 16), frame(1, 16, 16))
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(os, "getpid", lambda: 0)  # as in a forked process
        tool.interpolate(frame(0, 16, 16), frame(1, 16, 16))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert "forked from one that computed, so it uses one thread" in caplog.text


def test_pickling_is_refused_with_the_remedy(tiny_model: SepConv) -> None:
    with pytest.raises(TypeError, match="create one in each process"):
        pickle.dumps(Interpolator(tiny_model))


def test_weights_are_loaded_again_when_their_file_changes(frame: Render, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    first, second = frame(0, 32, 48), frame(5, 32, 48)
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_model(build_model("sepconv", {"widths": [4, 8], "taps": 3}), path, {"seed": seed})
        results.append(interpolate(first, second, model=str(path), device="cpu"))
    assert not np.array_equal(*results)
