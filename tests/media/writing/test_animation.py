"""Animations as source and as result."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.video import Averager, check_refused, render_frame
from PIL import Image

from midframe.media.writing.animation import plays_of
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
@pytest.mark.parametrize(("loop", "plays"), [(0, 0), (None, 1), (3, None)])
def test_animations_keep_their_length_and_how_often_they_play(
    tmp_path: Path, suffix: str, loop: int | None, plays: int | None
) -> None:
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    frames = [Image.fromarray(render_frame(n)) for n in range(6)]
    # A GIF says how often it is repeated, or nothing; an APNG how often it is played, once if it
    # says 1.
    kept = {} if loop is None and suffix == ".gif" else {"loop": 1 if loop is None else loop}
    kind = "PNG" if suffix == ".apng" else "GIF"
    frames[0].save(
        source, format=kind, save_all=True, append_images=frames[1:], duration=100, **kept
    )
    report = interpolate_video(source, target, model=Averager())
    assert (report.frames_in, report.frames_out, report.problems) == (6, 12, ())
    assert plays_of(target) == plays_of(source)
    assert plays is None or plays_of(source) == plays
    with Image.open(target) as image:
        assert image.n_frames == 12
        lengths = [image.seek(n) or image.info["duration"] for n in range(12)]
        assert lengths == [50] * 12
        image.seek(2)
        assert abs(np.asarray(image.convert("RGB"), int) - render_frame(1)).mean() < 8


def test_gifs_that_viewers_would_slow_down_are_refused(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=3, rate=Fraction(60), sound=True)
    check_refused(source, tmp_path / "out.gif", "give --fps 50 or less")
    report = interpolate_video(source, tmp_path / "out.gif", model=Averager(), fps="50")
    assert report.dropped == ("audio stream 1 (out.gif holds images only)",)
