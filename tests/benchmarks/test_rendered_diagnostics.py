"""Rendered test scenes and held-out clips of benchmarks/, and their scores."""

import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import clips
import cv2
import diagnostics
import methods
import numpy as np
import pytest
import rendered
from rendered import BAR_MOTION, CANVAS, DISC_MOTION, HEIGHT, PATTERNS, WIDTH, Triplet

from midframe.evaluation.measures import MAX_PSNR

Render = Callable[..., Path]


@pytest.fixture(scope="module")
def content() -> np.ndarray:
    noise = np.random.default_rng(0).integers(
        0, 256, (CANVAS[0] // 16, CANVAS[1] // 16, 3), np.uint8
    )
    return cv2.resize(noise, CANVAS[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("direction", "axis", "sign"), [(0, 1, 1), (1, 0, 1), (2, 1, -1)])
def test_a_translation_is_halfway_in_the_middle_frame(
    content: np.ndarray, direction: int, axis: int, sign: int
) -> None:
    triplet = rendered.translation(content, 8, direction)
    for before, after in ((triplet.first, triplet.middle), (triplet.middle, triplet.second)):
        assert np.array_equal(
            np.roll(before, 4 * sign, axis)[triplet.region], after[triplet.region]
        )


def test_a_fractional_translation_is_the_mean_of_shifted_samples(content: np.ndarray) -> None:
    triplet = rendered.translation(content, 0.5, 0)
    samples = content[rendered.SPACE * 4 :, rendered.SPACE * 4 - 1 :][
        : HEIGHT * 4, : WIDTH * 4
    ]  # 1/4 px to the right
    means = samples.reshape(HEIGHT, 4, WIDTH, 4, 3).mean(axis=(1, 3))
    assert abs(triplet.second - means).max() <= 0.5


def test_the_static_scene_repeats_the_same_frame(content: np.ndarray) -> None:
    triplet = rendered.same_twice(content)
    assert np.array_equal(triplet.first, triplet.middle)
    assert np.array_equal(triplet.first, triplet.second)
    assert triplet.region.all()


@pytest.mark.parametrize("width", [1, 6])
def test_bars_keep_their_width_and_are_halfway_in_the_middle_frame(
    content: np.ndarray, width: int
) -> None:
    triplet = rendered.bars(np.full_like(content, 128), width)
    columns = [np.flatnonzero((frame[100, :200] == 255).all(axis=-1)) for frame in _frames(triplet)]
    assert [len(each) for each in columns] == [width] * 3
    assert np.array_equal(columns[0] + BAR_MOTION // 2, columns[1])
    assert np.array_equal(columns[0] + BAR_MOTION, columns[2])


@pytest.mark.slow
def test_bars_and_discs_change_only_the_scored_region(content: np.ndarray) -> None:
    for triplet in (rendered.bars(content, 4), rendered.discs(content, 8)):
        for frame in (triplet.first, triplet.second):
            changed = (frame != triplet.middle).any(axis=-1)
            assert changed.any()
            assert not (changed & ~triplet.region).any()


def test_discs_move_by_the_set_motion(content: np.ndarray) -> None:
    triplet = rendered.discs(np.full_like(content, 128), 16)
    centres = [
        np.argwhere((frame[:110, :130] != 128).any(axis=-1)).mean(axis=0)
        for frame in (triplet.first, triplet.second)
    ]
    assert np.hypot(*(centres[1] - centres[0])) == pytest.approx(DISC_MOTION, abs=2)


def test_text_is_static_while_its_background_moves(content: np.ndarray) -> None:
    triplet = rendered.static_text(content, 12)
    white = (triplet.middle == 250).all(axis=-1) & triplet.region
    assert white.sum() > 500
    assert (triplet.first == 250).all(axis=-1)[white].mean() > 0.98
    background = rendered.inner(16, 16) & ~rendered.widened(triplet.region, 8)
    assert np.array_equal(np.roll(triplet.first, 6, 1)[background], triplet.middle[background])


@pytest.mark.parametrize("name", PATTERNS)
def test_the_shortest_matching_shift_of_a_pattern_is_not_its_motion(
    content: np.ndarray, name: str
) -> None:
    triplet = rendered.repeated_pattern(content, name)
    pattern = triplet.region
    half = rendered.PATTERN_MOTION // 2
    assert np.array_equal(np.roll(triplet.first, half, 1)[pattern], triplet.middle[pattern])
    shifts = range(-half + 1, half)
    errors = {
        shift: _error(np.roll(triplet.first, 2 * shift, 1), triplet.second, pattern)
        for shift in shifts
    }
    wrong = min(errors, key=errors.__getitem__)
    assert errors[wrong] < 5
    assert _error(np.roll(triplet.first, wrong, 1), triplet.middle, pattern) > 10


def test_an_occluder_is_scored_around_its_outline(content: np.ndarray) -> None:
    triplet = rendered.occluder(np.zeros_like(content), np.full_like(content, 200), 0)
    covered = triplet.middle[..., 0] > 100
    assert triplet.region[covered].mean() < 0.2
    assert not triplet.region[:30, :30].any()
    assert (triplet.region & ~covered).sum() > 5000


def test_only_the_region_is_scored() -> None:
    truth = np.random.default_rng(0).integers(0, 200, (32, 32, 3), np.uint8)
    region = np.zeros((32, 32), bool)
    region[8:16, 8:16] = True
    wrong = truth.copy()
    wrong[20:] += 50
    assert diagnostics.score(truth, wrong, region) == diagnostics.Score(100.0, 1.0)
    assert diagnostics.score(truth, truth + 10, region).psnr == pytest.approx(20 * np.log10(25.5))
    blurred = cv2.blur(truth, (3, 3))
    assert diagnostics.score(truth, blurred, region).sharpness < 0.5


def test_deficits_are_sorted_from_the_largest(content: np.ndarray) -> None:
    def row(name: str, first: float, second: float) -> diagnostics.Row:
        return diagnostics.Row(
            name, 1, {"ours": diagnostics.Score(first, 1), "other": diagnostics.Score(second, 1)}
        )

    rows = [row("small", 30, 31), row("better", 40, 30), row("largest", 20, 35)]
    deficits = diagnostics.deficits(rows, "ours", ["other"])
    assert [(difference, each.name) for difference, each in deficits] == [
        (15, "largest"),
        (1, "small"),
    ]


def test_diagnostics_prints_and_writes_a_table(
    content: np.ndarray,
    render_video: Render,
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        diagnostics, "render_all", lambda _: iter([("same", [rendered.same_twice(content)])])
    )
    clip = render_video(frames=24, sound=False)
    options = [
        "--model",
        str(tiny_weights),
        "--no-rife",
        "--per-clip",
        "1",
        "--clips",
        str(clip),
        "--json",
        str(tmp_path / "table.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["diagnostics.py", *options])
    diagnostics.main()
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0]
        == f"| PSNR dB (sharpness) | triplets | {tiny_weights.stem} | average | minterpolate |"
    )
    assert lines[2].startswith("| same | 1 |")
    assert "100.00 (1.00)" in lines[2]
    assert any(line.startswith("| clips, motion of ") for line in lines)
    saved = json.loads((tmp_path / "table.json").read_text())
    assert saved[0]["average"] == {"psnr": 100.0, "sharpness": 1.0}


def test_triplets_of_clips_do_not_cross_cuts(render_video: Render) -> None:
    clip = render_video(frames=24, cut_at=12, sound=False)
    triplets = clips.read_triplets(clip, count=50, distances=(1, 3))
    assert len(triplets) == 2 * (6 + 6)
    assert all(abs(each.first.mean() - each.second.mean()) < 10 for each in triplets)
    assert [each.distance for each in triplets[:2]] == [1, 3]


def test_duplicate_frames_give_no_triplets(
    render_video: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "MIN_CHANGE", 1000)
    assert clips.read_triplets(render_video(frames=12, sound=False), count=3) == []


def test_frames_are_downscaled_to_a_number_of_rows() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    assert clips.reduce_rows(image, 360).shape == (360, 640, 3)
    assert clips.reduce_rows(image, 0).shape == clips.reduce_rows(image, 1080).shape == image.shape


def test_scores_are_averaged_by_distance_and_by_clip(render_video: Render) -> None:
    triplets = clips.read_triplets(
        render_video("one.mp4", frames=12, sound=False), count=2, distances=(1, 2)
    )
    triplets += clips.read_triplets(
        render_video("two.mp4", frames=12, sound=False), count=2, distances=(1, 2)
    )
    outputs = iter([each.middle for each in triplets])
    scores = list(
        clips.score_triplets(
            triplets, {"exact": lambda *_: next(outputs), "first": lambda first, _: first}
        )
    )
    assert clips.mean_measures(scores, "exact").psnr == MAX_PSNR
    lines = clips.format_table(scores).splitlines()
    assert [line.split(" |")[0] for line in lines[2:]] == [
        "| distance 1",
        "| distance 2",
        "| one",
        "| two",
        "| all",
    ]
    assert lines[-1].split(" | ")[1:3] == ["8", "100.00 / 1.0000 / 1.00"]


def test_the_clips_command_compares_weights(
    render_video: Render,
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip = render_video(frames=12, sound=False)
    options = [
        "--model",
        str(tiny_weights),
        "--per-clip",
        "1",
        "--json",
        str(tmp_path / "scores.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["clips.py", str(clip), *options])
    clips.main()
    assert f"| | triplets | {tiny_weights.stem} | average |" in capsys.readouterr().out
    saved = json.loads((tmp_path / "scores.json").read_text())
    assert [each["distance"] for each in saved] == [1, 2, 3]


def test_rife_is_omitted_if_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_error(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", raise_error)
    assert methods.load_rife() is None


def _frames(triplet: Triplet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return triplet.first, triplet.middle, triplet.second


def _error(first: np.ndarray, second: np.ndarray, region: np.ndarray) -> float:
    return float(abs(first.astype(int) - second)[region].mean())
