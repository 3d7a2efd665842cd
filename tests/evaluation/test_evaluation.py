"""Scores of scenes with baselines, and the HTML page."""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.video import Averager
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from midframe.data.layouts import HALF, WHOLE, Scene, find_scenes
from midframe.errors import DatasetError
from midframe.evaluation import report as report_module
from midframe.evaluation.measures import average, measure, psnr, sharpness, ssim
from midframe.evaluation.motion_compensation import compensate
from midframe.evaluation.page import write_page
from midframe.evaluation.report import WORST_SCENES, Report, evaluate, read_view
from midframe.media.pictures.images import read_image, write_image

Render = Callable[..., np.ndarray]


@pytest.fixture
def scenes(tmp_path: Path, frame: Render) -> list[Scene]:
    for group in ("easy", "hard"):
        lines = []
        for name in ("a", "b"):
            for number, time in enumerate((0, 1, 2) if group == "easy" else (0, 4, 8)):
                path = tmp_path / "scenes" / "test" / group / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, frame(time + (name == "b"), 96, 128))
            lines.append(" ".join(f"x/test/{group}/{name}/{number}.png" for number in range(3)))
        (tmp_path / "scenes" / f"test-{group}.txt").write_text("\n".join(lines))
    return find_scenes(tmp_path / "scenes")


@pytest.fixture
def report(scenes: list[Scene], tmp_path: Path) -> Report:
    return evaluate(scenes, Averager(), name="mine", save=tmp_path / "out")


def test_every_method_is_measured_in_every_scene(report: Report, scenes: list[Scene]) -> None:
    assert report.methods == ["mine", "first frame", "average", "minterpolate"]
    assert [(each.group, each.scene) for each in report.scenes] == [
        (each.group, each.name) for each in scenes
    ]
    for scene, scores in zip(scenes, report.scenes, strict=True):
        truth = read_image(scene.middle)
        assert scores.measures["first frame"] == measure(truth, read_image(scene.first))
        assert scores.measures["average"].psnr == pytest.approx(
            scores.measures["mine"].psnr, abs=0.1
        )


def test_motion_compensation_is_better_than_the_average(frame: Render) -> None:
    first, truth, second = (frame(time, 160, 208) for time in (0, 2, 4))
    output = compensate(first, second)
    assert output.shape == truth.shape
    assert measure(truth, output).psnr > measure(truth, average(first, second)).psnr + 2


@pytest.mark.parametrize("t", [Fraction(1, 4), Fraction(5, 8)])
def test_scenes_are_interpolated_at_their_t(frame: Render, tmp_path: Path, t: Fraction) -> None:
    images = [frame(time, 160, 208) for time in (0, float(4 * t), 4)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        write_image(path, image)
    (scores,) = evaluate([Scene("disc", *paths, t=t)], Averager()).scenes
    blend = measure(images[1], average(images[0], images[2], t))
    assert scores.measures["model"].psnr == pytest.approx(blend.psnr, abs=0.1)
    assert scores.measures["average"] == blend
    assert scores.measures["minterpolate"].psnr > blend.psnr + 1


def test_scenes_of_the_same_frames_are_interpolated_together(
    frame: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        write_image(path, frame(number, 160, 208))
    scenes = [
        Scene(str(number), paths[0], paths[number], paths[4], view=view, t=Fraction(number, 4))
        for view in (HALF, WHOLE)
        for number in (1, 2, 3)
    ]
    read_names: list[str] = []
    monkeypatch.setattr(
        report_module, "read_image", lambda path: read_names.append(path.stem) or read_image(path)
    )
    progress: list[float] = []
    together = evaluate(scenes, Averager(), progress=progress.append)
    assert sorted(read_names) == sorted("0412304123")
    assert progress == sorted(progress)
    assert progress[-1] == 1
    monkeypatch.undo()
    alone = [evaluate([scene], Averager()).scenes[0] for scene in scenes]
    assert together.scenes == alone


def test_rows_end_with_group_means_the_mean_and_the_median(report: Report) -> None:
    rows = {row.scene: row.measures["mine"].psnr for row in report.rows()[4:]}
    values = report.values("mine", "psnr")
    assert rows == {
        "mean, easy": pytest.approx(np.mean(values[:2])),
        "mean, hard": pytest.approx(np.mean(values[2:])),
        "mean": pytest.approx(np.mean(values)),
        "median": pytest.approx(np.median(values)),
    }


def test_the_error_is_the_mean_absolute_difference() -> None:
    truth = np.full((16, 16, 3), 100, np.uint8)
    output = truth.copy()
    output[:8] += 10
    assert measure(truth, output).error == 5
    assert measure(truth, truth).psnr == np.inf


@pytest.mark.parametrize("size", [(96, 128), (7, 9)])
def test_psnr_and_ssim_equal_those_of_scikit_image(frame: Render, size: tuple[int, int]) -> None:
    truth, other = frame(0, *size), frame(3, *size)
    assert psnr(truth, other) == pytest.approx(
        peak_signal_noise_ratio(truth, other, data_range=255), rel=1e-12
    )
    for image in (other, truth, 255 - truth):
        expected = structural_similarity(truth, image, data_range=255, channel_axis=2)
        assert ssim(truth, image) == pytest.approx(expected, abs=1e-12)


def test_frames_smaller_than_the_window_of_ssim_are_refused(frame: Render) -> None:
    with pytest.raises(ValueError, match="one size, of at least 7"):
        ssim(frame(0, 6, 9), frame(0, 6, 9))
    with pytest.raises(ValueError, match="one size, of at least 7"):
        ssim(frame(0, 8, 9), frame(0, 8, 10))


def test_a_view_at_half_resolution_is_the_mean_of_two_by_two_pixels(
    frame: Render, tmp_path: Path
) -> None:
    image = frame(0, 32, 48)
    write_image(tmp_path / "a.png", image)
    expected = cv2.resize(image, (24, 16), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(read_view(tmp_path / "a.png", HALF), expected)


def test_equal_frames_have_a_sharpness_of_one(frame: Render) -> None:
    truth, flat = frame(0, 96, 128), np.full((16, 16, 3), 100, np.uint8)
    assert measure(truth, truth).sharpness == sharpness(flat, flat) == 1.0


def test_sharpness_divides_the_absolute_laplacians_of_four_neighbours() -> None:
    truth = np.full((5, 5, 1), 100, np.uint8)
    dimmed = truth.copy()
    truth[2, 2], dimmed[2, 2] = (
        140,
        110,
    )  # 4 * 40 at the pixel and 40 at each neighbour; a quarter of that
    assert sharpness(truth, dimmed) == 0.25
    assert sharpness(dimmed, truth) == 4.0


def test_a_blurred_frame_is_less_sharp(frame: Render) -> None:
    truth = frame(0, 96, 128)
    blurred = cv2.blur(truth, (3, 3))
    assert measure(truth, blurred).sharpness < 0.7
    assert measure(truth, cv2.blur(blurred, (3, 3))).sharpness < measure(truth, blurred).sharpness


def test_flat_scenes_are_excluded_from_the_mean_sharpness(report: Report) -> None:
    flat, textured = np.full((16, 16, 3), 100, np.uint8), np.zeros((16, 16, 3), np.uint8)
    textured[::2] = 200
    report.scenes[0].measures["mine"] = measure(flat, textured)
    row = {each["scene"]: each["mine"]["sharpness"] for each in report.as_json()}
    assert report.as_json()[0]["mine"]["sharpness"] is None
    assert row["mean"] == pytest.approx(np.mean(report.values("mine", "sharpness")[1:]))
    assert np.isnan(sharpness(flat, textured))


def test_an_infinite_psnr_is_null_in_json(report: Report) -> None:
    scene = report.scenes[0]
    scene.measures["mine"] = measure(
        np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 3), np.uint8)
    )
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))[0]["mine"]["psnr"] is None


def test_scores_and_interpolated_frames_are_saved(report: Report, tmp_path: Path) -> None:
    saved = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [row["scene"] for row in saved][-2:] == ["mean", "median"]
    assert len(list((tmp_path / "out" / "interpolated").iterdir())) == 4


def test_the_page_lists_the_worst_scenes_first(report: Report, tmp_path: Path) -> None:
    text = write_page(report, tmp_path / "out", "mine on <scenes>").read_text()
    assert "mine on &lt;scenes&gt;" in text
    assert text.count("<th>sharpness</th>") == len(report.methods)
    images = json.loads(re.search(r"scenes = (\[.*\]);", text)[1])  # type: ignore[index]
    assert len(images) == min(4, WORST_SCENES)
    worst = sorted(report.scenes, key=lambda each: each.measures["mine"].psnr)
    assert [each["name"] for each in images] == [each.scene for each in worst]
    assert set(images[0]["pictures"]) == {"truth", "error × 4", *report.methods}
    assert all(each.startswith("data:image/webp") for each in images[0]["pictures"].values())


def test_scenes_that_cannot_be_compared_are_refused_before_the_work(
    tmp_path: Path, frame: Render
) -> None:
    scene = Scene("one", *(tmp_path / f"{n}.png" for n in range(3)))
    for path, size in ((scene.first, 32), (scene.middle, 32), (scene.second, 30)):
        write_image(path, frame(0, size, 32))
    with pytest.raises(DatasetError, match=r"one differ in size \(32x32, 32x32, 32x30\)"):
        evaluate([scene], Averager())
    for path in (scene.first, scene.middle, scene.second):
        write_image(path, frame(0, 15, 32))
    with pytest.raises(DatasetError, match="32x15 pixels: at least 16x16"):
        evaluate([scene], Averager())
    assert evaluate([scene], Averager(), minterpolate=False).scenes


def test_an_empty_list_of_scenes_is_refused() -> None:
    with pytest.raises(ValueError, match="`scenes` is empty"):
        evaluate([], Averager())
