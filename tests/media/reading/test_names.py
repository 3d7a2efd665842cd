"""Names of files: every name that a file system accepts."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.video import Averager, frames_of

from midframe.errors import VideoError
from midframe.media.pictures.images import write_image
from midframe.media.reading.image_sequence import image_files, is_pattern
from midframe.media.reading.video_file import open_video
from midframe.video.pipeline import interpolate_video
from midframe.video.segments import segments_folder

Render = Callable[..., Path]
posix = pytest.mark.skipif(os.name != "posix", reason="other systems have no such names")
NAMES = [
    "12:30 clip",
    "50%discount",
    "50%03d",
    "a\nb",
    "-x",
    "[bold]",
    "file:a",
    "what?",
    "ä" * 118,
    "x" * 240,
]


@posix
@pytest.mark.parametrize("name", NAMES)
def test_videos_of_any_name_are_read_and_written(
    render_video: Render, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    source, target = (
        render_video(frames=3).rename(tmp_path / "in" / f"{name}.mp4"),
        Path(f"{name}.mp4"),
    )
    report = interpolate_video(source.relative_to(tmp_path), target, model=Averager())
    assert (report.frames_out, report.problems) == (6, ())
    assert len(frames_of(target.rename("plain.mp4"))) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "plain.mp4"]


@posix
@pytest.mark.parametrize("name", ["12:30 clip.png", "50%discount.png"])
def test_images_of_any_name_are_read_and_written(tmp_path: Path, name: str, frame: Any) -> None:
    write_image(tmp_path / name, frame(0))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with open_video(tmp_path / name) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(picture, frame(0))


@posix
def test_animations_and_image_sequences_of_any_name_are_read_and_written(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=3)
    for name in ("12:30.gif", "50%d.gif", "x" * 240 + ".apng"):
        assert interpolate_video(source, tmp_path / name, model=Averager()).problems == ()
        assert (tmp_path / name).is_file()
    folder = tmp_path / ("y" * 250)
    assert interpolate_video(source, folder / "12:%d.png", model=Averager()).problems == ()
    assert len(list(folder.iterdir())) == 6
    assert (
        interpolate_video(folder / "12:%d.png", tmp_path / "again.mkv", model=Averager()).frames_in
        == 6
    )


def test_existing_files_and_names_of_videos_are_not_taken_as_patterns(tmp_path: Path) -> None:
    existing = tmp_path / "50%discount.png"
    assert is_pattern(existing)
    existing.touch()
    assert not is_pattern(existing)
    assert image_files(existing) is None
    for name in ("50%discount.mp4", "50%d.MKV", "%03d.ts", "%d.avi"):
        assert not is_pattern(tmp_path / name)


def test_the_name_of_the_work_folder_fits_the_file_system() -> None:
    assert segments_folder(Path("out.mp4")) == Path("out.mp4.midframe")
    names = {segments_folder(Path(f"{'x' * 245}{number}.mp4")).name for number in range(3)}
    assert len(names) == 3
    assert all(len(name) <= 255 and name.endswith(".midframe") for name in names)


def test_urls_are_refused_as_urls(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=3)
    for given, target in (
        ("http://host/a.mp4", tmp_path / "o.mp4"),
        (source, "rtmp://host/live.mp4"),
    ):
        with pytest.raises(
            VideoError,
            match=r"(http|rtmp)://host.* is a URL, but only files can be read and written",
        ):
            interpolate_video(given, target, model=Averager())


def test_a_file_without_streams_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(
        bytes.fromhex("1a45dfa3804282886d6174726f736b61") + b"\0" * 100
    )
    with pytest.raises(VideoError) as found:
        interpolate_video(tmp_path / "a.mkv", tmp_path / "o.mp4", model=Averager())
    assert "only nothing" not in str(found.value)


def test_text_files_are_refused_although_ffmpeg_renders_them(tmp_path: Path) -> None:
    text = tmp_path / "clips.txt"
    text.write_text("one.mp4\n" * 400)
    with pytest.raises(VideoError, match=r"clips.txt (is a text file|cannot be opened)"):
        open_video(text)
