"""Other programs change the folder of a result during the work."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.video import Averager, Render

from midframe.errors import VideoError
from midframe.video.pipeline import VideoProgress, interpolate_video
from midframe.video.segments import segments_folder

PRECIOUS = "of another program"


def at_frame(number: int, action: Callable[[], object]) -> VideoProgress:
    """Return a callback that acts once, when a number of frames is finished."""
    acted = []

    def report(done: float, total: float | None) -> None:
        if done >= number and not acted:
            acted.append(action())

    return report


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_a_file_that_appears_during_the_work_is_not_replaced(
    render_video: Render, tmp_path: Path, name: str, overwrite: bool
) -> None:
    source, target = render_video(frames=4, sound=False), tmp_path / name

    def convert(progress: VideoProgress | None = None, *, resume: bool = False) -> int:
        return interpolate_video(
            source, target, model=Averager(), overwrite=overwrite, resume=resume, progress=progress
        ).frames_out

    with pytest.raises(VideoError, match=r"changed during the work: .*exists.*--resume continues"):
        convert(at_frame(3, lambda: target.write_text(PRECIOUS)))
    assert target.read_text() == PRECIOUS
    with pytest.raises(VideoError, match="exists and was"):
        convert(resume=True)
    target.unlink()
    assert convert(resume=True) == 8
    assert not segments_folder(target).exists()


def test_images_that_appear_during_the_work_are_not_replaced(
    render_video: Render, tmp_path: Path
) -> None:
    source, image = render_video(frames=4, sound=False), tmp_path / "out" / "000001.png"

    def appear() -> None:
        image.parent.mkdir()
        image.write_text(PRECIOUS)

    with pytest.raises(VideoError, match=r"changed during the work: .*000001.png exists"):
        interpolate_video(source, image.parent, model=Averager(), progress=at_frame(3, appear))
    assert [path.read_text() for path in image.parent.iterdir()] == [PRECIOUS]


def test_a_deleted_folder_of_the_work_is_reported_as_such(
    render_video: Render, tmp_path: Path
) -> None:
    """The error of deleting the other files hid it."""
    target = tmp_path / "out.mkv"
    delete = at_frame(1, lambda: shutil.rmtree(segments_folder(target)))
    with pytest.raises(VideoError, match="cannot be written"):
        interpolate_video(
            render_video(frames=260, sound=False), target, model=Averager(), progress=delete
        )
    assert not target.exists()
