"""Commands for research: train, evaluate, models, doctor."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.training import toy

from midframe.media.pictures.images import write_image

Render = Callable[..., np.ndarray]


def test_scenes_are_scored(
    run: Callable, tmp_path: Path, frame: Render, tiny_weights: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file, time in (("frame10.png", 0), ("frame10i11.png", 1), ("frame11.png", 2)):
            write_image(tmp_path / name / file, frame(time))
    status, output, _ = run(
        "evaluate", tmp_path, "--model", tiny_weights, "--json", "--save", tmp_path / "made"
    )
    rows = json.loads(output)
    assert status == 0
    assert [row["scene"] for row in rows] == ["one", "two", "mean", "median"]
    assert set(rows[0]) == {"scene", "group", "tiny", "repeat", "average", "minterpolate"}
    assert (tmp_path / "made" / "interpolated" / "one.png").exists()
    assert (tmp_path / "made" / "index.html").exists()
    assert "mean" in run("evaluate", tmp_path, "--model", tiny_weights)[1]
    status, _, errors = run("evaluate", tmp_path, "--save", tmp_path / "made")
    assert (status, "has scores: name another folder" in errors) == (1, True)


@pytest.mark.slow
def test_a_researchers_way_through_the_commands(
    run: Callable, render_video: Callable[..., Path], tmp_path: Path
) -> None:
    clips, dataset, config = tmp_path / "clips", tmp_path / "set", tmp_path / "toy.toml"
    clips.mkdir()
    for index in range(2):
        made = render_video(f"clip{index}.mp4", frames=12, size=(96, 128), sound=False)
        made.rename(clips / made.name)
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


def test_the_doctor_answers(run: Callable) -> None:
    status, output, _ = run("doctor")
    assert status == 0
    assert "encoders" in output
