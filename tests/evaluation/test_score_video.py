import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.video import Averager

from midframe.errors import VideoError
from midframe.evaluation.measures import Measures
from midframe.evaluation.score_video import (
    WORST_FRAMES,
    FrameScores,
    VideoScores,
    save_scores,
    score_video,
)
from midframe.media.pictures.images import read_image
from midframe.media.reading.source import TimeRange

Render = Callable[..., Path]


def test_every_second_frame_is_scored_with_baselines(render_video: Render) -> None:
    events: list[tuple[float, float | None]] = []
    scores = score_video(
        render_video(frames=25, sound=False),
        Averager(),
        name="mine",
        progress=lambda *state: events.append(state),
    )
    assert scores.methods == ["mine", "first frame", "average", "minterpolate"]
    assert [round(each.seconds * 24000 / 1001) for each in scores.frames] == list(range(1, 25, 2))
    assert scores.mean("psnr", "mine") == pytest.approx(scores.mean("psnr", "average"), abs=0.05)
    assert scores.mean("psnr", "average") > scores.mean("psnr", "first frame") + 1
    assert scores.mean("psnr", "minterpolate") > scores.mean("psnr", "average") + 1
    assert scores.mean("ssim", "minterpolate") > scores.mean("ssim", "average")
    assert events[-1] == (24, 25)


def test_minterpolate_is_scored_against_the_frame_of_the_same_time(render_video: Render) -> None:
    scores = score_video(render_video(frames=41, sound=False), Averager())
    assert min(each.measures["minterpolate"].psnr for each in scores.frames[2:-2]) > 22


def test_several_frames_of_an_interval_are_scored_at_their_times(render_video: Render) -> None:
    events: list[float] = []
    scores = score_video(
        render_video(frames=22, rate=Fraction(20), sound=False),
        Averager(),
        factor=5,
        progress=lambda done, _: events.append(done),
    )
    assert [round(each.seconds * 20) for each in scores.frames] == [
        number for number in range(20) if number % 5
    ]
    assert [each.t for each in scores.frames] == [0.2, 0.4, 0.6, 0.8] * 4
    assert scores.mean("psnr", "model") == pytest.approx(scores.mean("psnr", "average"), abs=0.05)
    assert scores.mean("psnr", "average") > scores.mean("psnr", "first frame")
    assert scores.mean("psnr", "minterpolate") > scores.mean("psnr", "average")
    assert events == [5, 10, 15, 20]


def test_intervals_with_a_cut_are_omitted(render_video: Render) -> None:
    scores = score_video(
        render_video(frames=21, cut_at=6, sound=False), Averager(), factor=4, minterpolate=False
    )
    assert len(scores.frames) == 4 * 3


def test_frames_next_to_a_cut_are_omitted(render_video: Render) -> None:
    scores = score_video(
        render_video(frames=21, cut_at=9, sound=False), Averager(), minterpolate=False
    )
    assert scores.methods == ["model", "first frame", "average"]
    assert len(scores.frames) == 9
    assert min(each.measures["model"].psnr for each in scores.frames) > 15


def test_a_time_range_can_be_scored(render_video: Render) -> None:
    source = render_video(frames=40, rate=Fraction(10), sound=False)
    scores = score_video(source, Averager(), time_range=TimeRange(1.0, 2.0), minterpolate=False)
    assert [round(each.seconds, 3) for each in scores.frames] == [1.1, 1.3, 1.5, 1.7]


def test_scores_a_plot_and_the_worst_frames_are_saved(render_video: Render, tmp_path: Path) -> None:
    scores = score_video(render_video(frames=25, sound=False), Averager(), minterpolate=False)
    save_scores(scores, tmp_path / "scores")
    saved = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert len(saved["frames"]) == 12
    assert saved["mean"]["psnr"]["model"] == pytest.approx(scores.mean("psnr", "model"))
    assert set(saved["frames"][0]["measures"]["model"]) == {"psnr", "ssim", "error", "sharpness"}
    assert saved["mean"]["sharpness"]["first frame"] == pytest.approx(1.0, abs=0.05)
    assert saved["mean"]["sharpness"]["average"] < 1
    images = [
        read_image(tmp_path / "scores" / f"worst-{n}.png") for n in range(1, WORST_FRAMES + 1)
    ]
    assert {each.shape for each in images} == {(16 + 64, 3 * 96, 3)}  # with labels
    worst = [each.measures["model"].psnr for each, _ in scores.worst]
    assert worst == sorted(each.measures["model"].psnr for each in scores.frames)[:WORST_FRAMES]
    assert (tmp_path / "scores" / "scores.png").stat().st_size > 1000


def test_equal_frames_count_as_100_db(tmp_path: Path) -> None:
    measures = [Measures(psnr, 1.0, 0.0, 1.0) for psnr in (math.inf, 40.0)]
    frames = [FrameScores(n / 10, {"first frame": each}) for n, each in enumerate(measures)]
    scores = VideoScores(["first frame"], frames, [])
    assert scores.mean("psnr", "first frame") == 70
    save_scores(scores, tmp_path / "scores")
    saved = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert saved["mean"]["psnr"] == {"first frame": 70}


def test_a_video_of_two_frames_is_refused(render_video: Render) -> None:
    with pytest.raises(VideoError, match="no 3 successive frames"):
        score_video(render_video(frames=2, sound=False), Averager())


def test_a_video_smaller_than_16_pixels_is_refused(render_video: Render) -> None:
    source = render_video(frames=3, sound=False, size=(14, 32))
    with pytest.raises(VideoError, match="32x14 pixels: at least 16x16"):
        score_video(source, Averager())
