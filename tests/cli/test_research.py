"""Commands for research: train, evaluate, models, doctor."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.training import toy

from midframe.cli.research import print_scores
from midframe.cli.shared import out
from midframe.evaluation.measures import Measures
from midframe.evaluation.report import Report, SceneScores
from midframe.media.pictures.images import write_image
from midframe.training.config import TrainConfig

Render = Callable[..., np.ndarray]


def test_scenes_are_scored(
    run: Callable, tmp_path: Path, frame: Render, tiny_weights: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file, time in (("frame10.png", 0), ("frame10i11.png", 1), ("frame11.png", 2)):
            write_image(tmp_path / name / file, frame(time))
    status, output, _ = run(
        "evaluate", tmp_path, "--model", tiny_weights, "--json", "--save", tmp_path / "scores"
    )
    rows = json.loads(output)
    assert status == 0
    assert [row["scene"] for row in rows] == ["one", "two", "mean", "median"]
    assert set(rows[0]) == {"scene", "group", "tiny", "first frame", "average", "minterpolate"}
    assert (tmp_path / "scores" / "interpolated" / "one.png").exists()
    assert (tmp_path / "scores" / "index.html").exists()
    assert "mean" in run("evaluate", tmp_path, "--model", tiny_weights)[1]
    status, _, errors = run("evaluate", tmp_path, "--save", tmp_path / "scores")
    assert (status, "has scores: name another folder" in errors) == (1, True)


def test_headings_of_scores_are_not_cut_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measures = Measures(34.35, 0.951, 5.32, 0.94)
    methods = ["model", "first frame", "average", "minterpolate"]
    scene = SceneScores("GOPRO_0384_11_05/000013", "extreme", dict.fromkeys(methods, measures))
    monkeypatch.setattr(out, "width", 80)
    print_scores(Report(methods, [scene]))
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    words = {*output.split()}
    assert words >= {"PSNR", "SSIM", "error", "sharpness", "first", "frame", "average"}
    assert words >= {"minterpolate", "34.35", "0.951", "5.32", "0.94", "median"}


def test_a_resumed_training_uses_the_settings_of_its_run(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[TrainConfig, Path, bool]] = []

    def train(config: TrainConfig, folder: Path, *, resume: bool, progress: object) -> dict:
        calls.append((config, folder, resume))
        return {"patch_psnr": 1.0}

    monkeypatch.setattr("midframe.training.loop.train", train)
    monkeypatch.chdir(tmp_path)
    config = toy(tmp_path, seed=3)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "config.json").write_text(json.dumps(asdict(config)))
    (tmp_path / "a.toml").write_text("batch = 2\n")
    status, _, errors = run("train", "a.toml", "--resume")
    assert status == 0
    assert "resuming with the settings in runs/a/config.json, not in a.toml" in errors
    assert run("train", "--resume", "--run", "runs/a", "--set", "steps=40")[0] == 0
    folder = Path("runs/a")
    assert calls == [(config, folder, True), (replace(config, steps=40), folder, True)]
    for arguments in (["--resume"], ["--run", "runs/a"]):
        status, _, errors = run("train", *arguments)
        assert (status, "CONFIG.toml is missing" in errors) == (1, True)
    assert "contains no run to resume" in run("train", "a.toml", "--run", "b", "--resume")[2]


@pytest.mark.slow
def test_a_dataset_is_created_and_a_network_trained_on_it(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path
) -> None:
    clips, dataset, config = tmp_path / "clips", tmp_path / "set", tmp_path / "toy.toml"
    clips.mkdir()
    for index in range(2):
        clip = render_video(f"clip{index}.mp4", frames=12, size=(96, 128), sound=False)
        clip.rename(clips / clip.name)
    assert (
        run("dataset", "create", clips, dataset, "--size", 64, "--per-clip", 20, "--workers", 1)[0]
        == 0
    )
    status, output, _ = run("dataset", "show", dataset)
    assert status == 0
    assert "contact.jpg" in output
    network = json.dumps(toy(dataset).network)
    config.write_text(
        f'dataset = "{dataset}"\nsteps = 20\nbatch = 2\ncrops = [[0.0, 32]]\n'
        "workers = 0\nevaluate_every = 20\n"
    )
    status, output, _ = run(
        "train", config, "--run", tmp_path / "run", "--set", f"network={network}"
    )
    assert status == 0
    assert "patch_psnr" in output
    assert run("curves", tmp_path / "run")[0] == 0


def test_models_are_listed(run: Callable) -> None:
    assert "sepconv" in run("models")[1]


def test_doctor_lists_encoders(run: Callable) -> None:
    status, output, _ = run("doctor")
    assert status == 0
    assert "encoders" in output
