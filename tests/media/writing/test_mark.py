"""The mark of midframe in its results."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.video import Averager
from PIL import Image

from midframe.errors import VideoError
from midframe.media.containers import CONTAINERS
from midframe.media.writing.mark import read_mark
from midframe.video.compare import compare_video
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


@pytest.mark.parametrize("suffix", [*CONTAINERS, ".gif", ".apng"])
def test_every_container_keeps_the_mark(render_video: Render, tmp_path: Path, suffix: str) -> None:
    source, target = render_video(frames=3, sound=False), tmp_path / f"out{suffix}"
    assert read_mark(source) is None
    interpolate_video(source, target, model=Averager())
    assert (read_mark(target) or "").startswith("midframe ")
    assert interpolate_video(source, target, model=Averager(), overwrite=True).problems == ()
    assert interpolate_video(source, target, model=Averager(), resume=True).already_complete
    with pytest.raises(VideoError, match="exists and was made with other options"):
        interpolate_video(source, target, model=Averager(), resume=True, cut="nearest")
    assert not interpolate_video(
        source, target, model=Averager(), resume=True, overwrite=True, cut="nearest"
    ).already_complete


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
def test_an_animation_of_another_program_is_never_replaced(
    render_video: Render, tmp_path: Path, suffix: str
) -> None:
    source, other = render_video(frames=3), tmp_path / f"other{suffix}"
    kind = "GIF" if suffix == ".gif" else "PNG"
    Image.new("RGB", (4, 4)).save(other, format=kind)
    before = other.read_bytes()
    with pytest.raises(VideoError, match="was not written by midframe"):
        interpolate_video(source, other, model=Averager(), overwrite=True)
    assert other.read_bytes() == before


def test_a_video_of_another_program_is_never_replaced(render_video: Render, tmp_path: Path) -> None:
    source, other = render_video("a.mp4", frames=3), render_video("b.mp4", frames=3)
    before = other.read_bytes()
    for options in ({"overwrite": True}, {"overwrite": True, "resume": True}, {"resume": True}):
        with pytest.raises(
            VideoError,
            match=r"b.mp4 exists and was (not written by midframe|made with other options)",
        ):
            interpolate_video(source, other, model=Averager(), **options)
    with pytest.raises(VideoError, match="was not written by midframe: delete it yourself"):
        compare_video(source, other, model=Averager(), overwrite=True)
    assert other.read_bytes() == before
    (tmp_path / "empty.mp4").touch()
    assert (
        interpolate_video(source, tmp_path / "empty.mp4", model=Averager(), overwrite=True).problems
        == ()
    )
