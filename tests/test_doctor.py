"""The report of `midframe doctor` about a machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midframe import doctor, speeds
from midframe.interpolator import Interpolator
from midframe.models.sepconv import SepConv
from midframe.models.shipped import list_models

Run = Callable[..., tuple[int, str, str]]


def test_doctor_prints_its_report_as_json_and_as_text(run: Run) -> None:
    status, output, _ = run("doctor", "--json")
    facts = json.loads(output)
    assert status == 0
    assert facts["devices"][-1] == "cpu"
    assert facts["operators"]["cpu"] in ("Halide", "PyTorch")
    assert facts["processor"]["features"]
    assert set(facts["chosen"]) == {"device", "precision"}
    assert facts["models"].keys() == list_models().keys()
    assert all(model["intact"] for model in facts["models"].values())
    lines = run("doctor")[1].splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == [
        "Python",
        "processor",
        "processor features",
    ]


def test_a_damaged_model_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "sha256_of", lambda path: "0" * 64)
    facts = doctor.examine()
    assert not any(model["intact"] for model in facts["models"].values())
    assert "weights of flowsep are damaged" in " ".join(facts["advice"])
    assert "flowsep" in doctor.describe(facts)["damaged models"]


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"operators": {"cpu": "PyTorch", "cuda": None}}, "pip install halide"),
        ({"operators": {"cpu": "Halide", "cuda": "PyTorch"}}, "pip install triton"),
        ({"extras": {"export": ["onnx"]}}, "pip install 'midframe[export]': ONNX files"),
    ],
)
def test_advice_is_given_for_missing_packages(changes: dict[str, Any], advice: str) -> None:
    facts = {"operators": {"cpu": "Halide", "cuda": "Triton"}, "extras": {}, "models": {}}
    facts |= {"pipelines": "/folder"}
    assert doctor.advise(facts) == []
    assert any(text.startswith(advice) for text in doctor.advise(facts | changes))


def test_advice_is_given_for_a_gpu_that_pytorch_does_not_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = {"operators": {"cpu": "Halide", "cuda": None}, "extras": {}, "models": {}}
    facts |= {"pipelines": "/folder"}
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert "PyTorch for CUDA" in doctor.advise(facts)[0]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert doctor.advise(facts) == []


def test_speeds_are_measured_for_each_model_and_size(
    monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    monkeypatch.setattr(speeds, "SIZES", {"small": (32, 48), "large": (48, 64)})
    monkeypatch.setattr(speeds, "MIN_SECONDS", 0.01)
    progress: list[tuple[str, str, float]] = []
    model = str(tiny_weights)
    rates_by_model = speeds.measure_speeds(
        [model], lambda *each: progress.append(each), device="cpu"
    )
    assert [each[:2] for each in progress] == [(model, "small"), (model, "large")]
    rates = [rates_by_model[model][size] for size in ("small", "large")]
    assert rates == [round(rate, 2) for *_, rate in progress]
    assert all(rate and rate > 0 for rate in rates)


def test_sizes_that_would_take_too_long_are_not_measured(
    monkeypatch: pytest.MonkeyPatch, tiny_model: SepConv
) -> None:
    monkeypatch.setattr(speeds, "SIZES", {"small": (32, 48), "large": (64, 96)})
    monkeypatch.setattr(speeds, "Interpolator", lambda model, **_: tiny_model)
    monkeypatch.setattr(speeds, "measure_rate", lambda *_: 1 / 10)
    assert speeds.measure_speeds(["any"]) == {"any": {"small": 0.1, "large": None}}


def test_the_measured_rate_is_that_of_interpolated_frames(
    monkeypatch: pytest.MonkeyPatch, tiny_model: SepConv
) -> None:
    monkeypatch.setattr(speeds, "MIN_SECONDS", 0.01)
    tool, counts = Interpolator(tiny_model, device="cpu"), [0]
    interpolate = tool.interpolate

    def count(*arguments: Any) -> Any:
        counts[0] += 1
        return interpolate(*arguments)

    monkeypatch.setattr(tool, "interpolate", count)
    assert speeds.measure_rate(tool, *speeds.make_frames(32, 48)) > 0
    assert counts[0] >= 2


@pytest.mark.parametrize("supported", [False, True])
def test_amx_is_listed_as_a_processor_feature(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "has_amx", lambda: supported)
    assert ("amx" in doctor.examine()["processor"]["features"]) == supported


def test_extras_are_listed_with_their_missing_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extras = {"train": ("numpy",), "export": ("numpy", "no_such_package")}
    monkeypatch.setattr(doctor, "EXTRAS", extras)
    facts = doctor.examine()
    assert doctor.describe(facts)["extras"] == "train, export (without no_such_package)"
