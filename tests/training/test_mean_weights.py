"""Averages of weights."""

import sys
from pathlib import Path

import pytest
import torch

from midframe.errors import ConfigError
from midframe.models.checkpoint import load_model, save_model
from midframe.models.sepconv import SepConv, SepConvConfig
from midframe.training import mean_weights
from midframe.training.mean_weights import average_weights


def constant_network(value: float, taps: int = 3) -> SepConv:
    model = SepConv(SepConvConfig(taps=taps, widths=(2, 3)))
    with torch.no_grad():
        for weights in model.parameters():
            weights.fill_(value)
    return model


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["mean_weights", *map(str, arguments)])
    mean_weights.main()


def test_networks_are_weighted_equally_by_default() -> None:
    mean = average_weights([constant_network(0.0), constant_network(3.0)])
    assert all((weights == 1.5).all() for weights in mean.parameters())


@pytest.mark.parametrize(
    ("others", "fractions", "message"),
    [
        ([constant_network(1.0, taps=5)], None, "different configs"),
        ([constant_network(1.0)], [0.5, 0.6], "have a sum of 1.1, not 1"),
    ],
)
def test_different_configs_and_wrong_fractions_are_refused(
    others: list[SepConv], fractions: list[float] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        average_weights([constant_network(0.0), *others], fractions)


def test_the_command_writes_the_weighted_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in (0.0, 4.0):
        save_model(constant_network(value), tmp_path / f"{value:g}.safetensors", {})
    arguments = [f"{tmp_path}/0.safetensors=0.25", f"{tmp_path}/4.safetensors=0.75"]
    run(monkeypatch, tmp_path / "mean.safetensors", *arguments)
    mean = load_model(tmp_path / "mean.safetensors")
    assert all((weights == 3).all() for weights in mean.parameters())
    for target, last in (
        (tmp_path / "mean.safetensors", arguments[1]),
        (tmp_path / "new", "flowsep"),
    ):
        with pytest.raises(SystemExit, match="1"):
            run(monkeypatch, target, arguments[0], last)
    errors = capsys.readouterr().err
    assert "exists" in errors
    assert "names and fractions are needed" in errors
