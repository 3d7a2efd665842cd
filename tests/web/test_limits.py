"""Uploads are probed before the work, and refused beyond the limits."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.heic import write_heic
from helpers.sample_videos import VideoSpec, render
from helpers.video import Averager
from PIL import Image

from midframe.errors import OptionError, SourceError
from midframe.media.pictures.images import write_image
from midframe.options import RetimingOptions, SourceOptions, VideoOptions
from midframe.video.pipeline import interpolate_video
from midframe.web.limits import count_frames, probe_picture, probe_video
from midframe.web.options import Limits

Render = Callable[..., Path]
LIMITS = Limits()


def test_probing_a_video_returns_its_properties(render_video: Render) -> None:
    path = render_video(frames=12, rate=Fraction(24))
    facts = probe_video(path, LIMITS)
    assert (facts.width, facts.height, facts.frames, facts.rate) == (96, 64, 12, 24)
    assert facts.seconds == pytest.approx(0.5)
    assert (facts.sound, facts.hdr, facts.interlaced) == ("aac", False, False)
    assert (facts.size, facts.media_type) == (path.stat().st_size, "video/mp4")


def test_a_video_without_a_suffix_is_probed(render_video: Render) -> None:
    path = render_video("in.mkv", frames=3, sound=False)
    bare = path.rename(path.with_name("0123"))
    facts = probe_video(bare, LIMITS)
    assert (facts.sound, facts.media_type) == ("", "video/webm")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_mb=0.001), "larger than 0.001 MB"),
        (Limits(max_seconds=0.2), "up to 0.2 are allowed"),
        (Limits(max_pixels=1000), "96x64 pixels"),
    ],
)
def test_a_video_beyond_the_limits_is_refused(
    render_video: Render, limits: Limits, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        probe_video(render_video(), limits)


def test_a_text_file_is_refused_as_a_video(tmp_path: Path) -> None:
    path = tmp_path / "secret-name.mp4"
    path.write_text("no video")
    with pytest.raises(SourceError, match=r"^the file cannot be opened as a video"):
        probe_video(path, LIMITS)


def test_a_file_with_sound_only_is_refused_as_a_video(render_video: Render) -> None:
    with pytest.raises(SourceError, match=r"^the file has no video stream"):
        probe_video(render_video(picture=False), LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile in.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nin.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_cannot_open_other_files(render_video: Render, text: str) -> None:
    path = render_video().with_name("list.m3u8")
    path.write_text(text)
    with pytest.raises(SourceError, match="cannot be opened as a video"):
        probe_video(path, LIMITS)


def test_probing_an_image_returns_its_size(
    tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    write_image(tmp_path / "a.png", frame(0))
    facts = probe_picture(tmp_path / "a.png", LIMITS)
    assert (facts.width, facts.height) == (96, 64)
    with pytest.raises(SourceError, match="96x64 pixels"):
        probe_picture(tmp_path / "a.png", Limits(max_pixels=1000))


@pytest.mark.parametrize("name", ["a.gif", "a.jp2", "a.ppm", "a.tga", "a.qoi"])
def test_images_of_rare_formats_are_accepted(
    tmp_path: Path, frame: Callable[..., np.ndarray], name: str
) -> None:
    images = [Image.fromarray(frame(n)) for n in (0, 3)]
    animated = {"save_all": True, "append_images": images[1:]} if name == "a.gif" else {}
    images[0].save(tmp_path / name, **animated)
    assert probe_picture(tmp_path / name, LIMITS).width == 96
    with pytest.raises(SourceError, match="96x64 pixels"):
        probe_picture(tmp_path / name, Limits(max_pixels=1000))


def test_heic_images_are_accepted_within_the_limits(
    tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    path = write_heic(tmp_path / "a.heic", frame(0), rotation=1)
    facts = probe_picture(path, LIMITS)
    assert (facts.width, facts.height) == (64, 96)
    with pytest.raises(SourceError, match="96x64 pixels"):
        probe_picture(path, Limits(max_pixels=1000))


def test_the_size_of_a_tiled_heic_image_is_that_of_all_tiles(
    tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    path = write_heic(tmp_path / "a.heic", frame(0, 128, 192), tile=64)
    facts = probe_picture(path, LIMITS)
    assert (facts.width, facts.height) == (192, 128)
    with pytest.raises(SourceError, match="192x128 pixels"):
        probe_picture(path, Limits(max_pixels=5000))  # a tile has 4096


def test_an_eps_image_is_refused_because_it_would_start_a_program(
    tmp_path: Path, frame: Callable[..., np.ndarray]
) -> None:
    Image.fromarray(frame(0)).save(tmp_path / "a.eps")
    with pytest.raises(SourceError, match=r"^the file cannot be read as an image"):
        probe_picture(tmp_path / "a.eps", LIMITS)


def test_a_text_file_is_refused_as_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(SourceError, match=r"^the file cannot be read as an image"):
        probe_picture(tmp_path / "a.png", LIMITS)


@pytest.mark.parametrize("name", ["max_mb", "max_seconds", "max_pixels"])
def test_a_limit_of_zero_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} is 0: more than 0 is needed"):
        Limits(**{name: 0})


@pytest.mark.parametrize(
    "options",
    [
        VideoOptions(),
        VideoOptions(RetimingOptions(fps=60)),
        VideoOptions(RetimingOptions(slow=3)),
        VideoOptions(RetimingOptions(factor=4), SourceOptions(0.25, 0.5)),
    ],
)
def test_frames_are_counted_before_the_work(
    render_video: Render, tmp_path: Path, options: VideoOptions
) -> None:
    path = render_video(frames=24, rate=Fraction(24), sound=False)
    frames, interpolated = count_frames(probe_video(path, LIMITS), options)
    retiming, source = options.retiming, options.source
    report = interpolate_video(
        path,
        tmp_path / "out.mp4",
        factor=retiming.factor,
        fps=retiming.fps,
        slow=retiming.slow,
        start=source.start,
        end=source.end,
        model=Averager(),
    )
    assert frames == pytest.approx(report.frames_out, abs=1)
    assert interpolated <= report.frames_interpolated + report.frames_held


@pytest.mark.parametrize(
    ("times", "expected"), [([0, 1, 2, 3, 5, 6, 9, 10, 11], (24, 14)), ([0], (2, 0))]
)
def test_frames_dropped_by_a_phone_are_counted_in_the_estimate(
    tmp_path: Path, times: list[int], expected: tuple[int, int]
) -> None:
    path = render(VideoSpec("in.mkv", times=times, sound=()), tmp_path)
    facts = probe_video(path, LIMITS)
    assert facts.duration == Fraction(times[-1] + 1, 25)
    assert count_frames(facts, VideoOptions()) == expected
    report = interpolate_video(path, tmp_path / "out.mkv", model=Averager())
    assert (report.frames_out, report.frames_interpolated) == expected


def test_a_start_after_the_end_is_refused(render_video: Render) -> None:
    facts = probe_video(render_video(frames=24, rate=Fraction(24)), LIMITS)
    with pytest.raises(OptionError, match="start is 1, the video ends at 1 seconds"):
        count_frames(facts, VideoOptions(source=SourceOptions(1)))


def test_the_size_of_a_rotated_video_is_its_display_size(tmp_path: Path) -> None:
    facts = probe_video(render(VideoSpec(rotation=90, sound=()), tmp_path), LIMITS)
    assert (facts.width, facts.height) == (64, 96)
