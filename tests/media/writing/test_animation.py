"""Animations as source and as result."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.video import Averager, check_refused, frames_of, render_frame
from PIL import Image

from midframe.media.pictures.images import write_image
from midframe.media.writing.animation import plays_of
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
@pytest.mark.parametrize(("loop", "plays"), [(0, 0), (None, 1), (3, None)])
def test_animations_keep_their_duration_and_loop_count(
    tmp_path: Path, suffix: str, loop: int | None, plays: int | None
) -> None:
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    frames = [Image.fromarray(render_frame(n)) for n in range(6)]
    # A GIF states the number of repetitions, or nothing; an APNG the number of plays, once if it
    # states 1.
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


def test_gif_rates_that_viewers_do_not_support_are_refused(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=3, rate=Fraction(60), sound=True)
    check_refused(source, tmp_path / "out.gif", "give --fps 50 or less")
    report = interpolate_video(source, tmp_path / "out.gif", model=Averager(), fps="50")
    assert report.dropped == ("audio stream 1 (out.gif holds images only)",)


def test_a_gif_of_midframe_is_read_with_all_its_frames(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=4, rate=Fraction(10), sound=False)
    gif, again = tmp_path / "a.gif", tmp_path / "b.gif"
    interpolate_video(source, gif, model=Averager())
    report = interpolate_video(gif, again, model=Averager())
    assert (report.frames_in, report.frames_out, report.length_in) == (8, 16, Fraction(4, 10))
    with Image.open(gif) as image:
        assert image.n_frames == 8
        assert image.info["comment"].startswith(b"midframe ")


def test_a_comment_after_the_last_image_of_a_gif_adds_no_frame(tmp_path: Path) -> None:
    source, target = tmp_path / "in.gif", tmp_path / "out.gif"
    frames = [Image.fromarray(render_frame(n)) for n in range(3)]
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=100)
    data = source.read_bytes()
    source.write_bytes(data[:-1] + b"\x21\xfe\x05hello\x00" + data[-1:])
    report = interpolate_video(source, target, model=Averager())
    assert (report.frames_in, report.frames_out, report.problems) == (3, 6, ())


def test_16_bit_apng_with_alpha_is_written_with_8_bits(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        image = np.zeros((48, 64, 4), np.uint16)
        image[..., 3] = 65535
        image[10:30, 10 + 2 * number : 40 + 2 * number, 0] = 50000
        image[20:24, :, 3] = 257 * 117
        write_image(tmp_path / "in" / f"{number}.png", image)
    report = interpolate_video(tmp_path / "in", tmp_path / "out.apng", model=Averager())
    assert report.problems == ()
    assert report.dropped == ("bits beyond 8 of each sample (APNG with alpha)",)
    shown = [frame.to_ndarray(format="rgba") for frame in frames_of(tmp_path / "out.apng")]
    assert len(shown) == 8
    assert set(np.unique(shown[0][..., 3])) == {117, 255}
