import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.video import Averager

from midframe.video.pipeline import interpolate_video
from midframe.video.report import VideoReport

Render = Callable[..., Path]


@pytest.fixture
def done(render_video: Render, tmp_path: Path) -> tuple[Path, VideoReport]:
    target = tmp_path / "out.mp4"
    return target, interpolate_video(render_video(frames=24), target, model=Averager())


def test_a_report_summarises_source_and_result(done: tuple[Path, VideoReport]) -> None:
    _, report = done
    assert (report.frames_in, report.frames_out, report.streams) == (24, 48, {"audio": 1})
    assert abs(report.length_in - Fraction(1001, 1000)) < Fraction(1, 1000)
    assert abs(report.length_out - report.length_in) < Fraction(1, 1000)
    assert abs(report.sound_after_video_out - report.sound_after_video_in) < Fraction(1, 1000)  # type: ignore[operator]
    assert report.problems == ()


def test_a_report_consists_of_numbers_and_texts(done: tuple[Path, VideoReport]) -> None:
    again = json.loads(json.dumps(done[1].as_json()))
    assert again["frames_out"] == 48
    assert again["length_in"] == pytest.approx(1.001, abs=1e-3)
