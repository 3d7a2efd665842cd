import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from test_video import Averager

from midframe.video.pipeline import interpolate_video
from midframe.video.report import VideoReport, check_result

Render = Callable[..., Path]
RATE = Fraction(48000, 1001)


@pytest.fixture
def done(render_video: Render, tmp_path: Path) -> tuple[Path, VideoReport]:
    target = tmp_path / "out.mp4"
    return target, interpolate_video(render_video(frames=24), target, model=Averager())


def test_a_report_tells_what_came_in_and_what_is_there(done: tuple[Path, VideoReport]) -> None:
    _, report = done
    assert (report.frames_in, report.frames_out, report.streams) == (24, 48, {"audio": 1})
    assert abs(report.length_in - Fraction(1001, 1000)) < Fraction(1, 1000)
    assert abs(report.length_out - report.length_in) < Fraction(1, 1000)
    assert abs(report.sound_after_picture_out - report.sound_after_picture_in) < Fraction(1, 1000)  # type: ignore[operator]
    assert report.problems == ()


@pytest.mark.parametrize(
    ("wrong", "carried", "complaint"),
    [
        ({"frames_made": 22}, {"audio": 1}, "48 frames at 48 times instead of 47"),
        ({"length_in": Fraction(2)}, {"audio": 1}, "lasts 1.001 s instead of 2.000 s"),
        ({}, {"audio": 2}, "beside the picture instead of"),
        ({"sound_after_picture_in": Fraction(-1)}, {"audio": 1}, "sound ends 0.9.. s from where it should"),
    ],
)
def test_a_result_that_lacks_something_is_found_out(
    done: tuple[Path, VideoReport], wrong: dict[str, Any], carried: dict[str, int], complaint: str
) -> None:
    target, report = done
    claimed = replace(report, **wrong)
    check_result(target, claimed, carried, RATE, stretched=False)
    assert len(claimed.problems) == 1
    assert re.search(complaint, claimed.problems[0])


def test_a_report_is_numbers_and_texts(done: tuple[Path, VideoReport]) -> None:
    again = json.loads(json.dumps(done[1].as_json()))
    assert again["frames_out"] == 48
    assert again["length_in"] == pytest.approx(1.001, abs=1e-3)
