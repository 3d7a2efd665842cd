"""Images, animations and pipes as sources and results; alpha; time ranges; interlaced frames."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.image_sequences import render_image
from helpers.video import Averager, check_refused, frames_of, times_of

from midframe.errors import VideoError
from midframe.media.colour.conversion import colour_of, to_rgb
from midframe.media.pictures.images import Array, write_image
from midframe.media.reading.image_sequence import image_files
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


def pictures(
    folder: Path, count: int, form: str = "%06d.png", deep: bool = False, alpha: bool = False
) -> list[Array]:
    """Write rendered frames into a folder and return them."""
    folder.mkdir()
    images = [render_image(n, deep, alpha) for n in range(count)]
    for number, image in enumerate(images, start=1):
        write_image(folder / (form % number), image)
    return images


def read_pictures(folder: Path) -> list[Array]:
    found = []
    for path in sorted(folder.iterdir()):
        frame = frames_of(path)[0]
        found.append(to_rgb(frame, colour_of(frame)))
    return found


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_an_image_sequence_is_doubled_and_keeps_every_bit(
    tmp_path: Path, deep: bool, alpha: bool
) -> None:
    before = pictures(tmp_path / "frames", 5, deep=deep, alpha=alpha)
    report = interpolate_video(tmp_path / "frames", tmp_path / "out", model=Averager())
    after = read_pictures(tmp_path / "out")
    assert (len(after), report.frames_out, report.problems) == (10, 10, ())
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:2] == [
        "000001.png",
        "000002.png",
    ]
    for one, other in zip(before, after[::2], strict=True):
        assert other.dtype == one.dtype
        assert np.array_equal(one, other)
    assert abs(after[1].astype(int) - (before[0].astype(int) + before[1]) / 2).max() <= 1


@pytest.mark.parametrize("source", ["frames", "frames/%d.png", "frames/%03d.png"])
def test_images_are_read_in_the_order_of_their_numbers(tmp_path: Path, source: str) -> None:
    before = pictures(tmp_path / "frames", 11, "%03d.png" if "03" in source else "%d.png")
    interpolate_video(
        tmp_path / source, tmp_path / "out.mkv", model=Averager(), codec="ffv1", factor=1
    )
    for expected, frame in zip(before, frames_of(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), expected)


def test_images_have_the_given_rate(tmp_path: Path) -> None:
    pictures(tmp_path / "frames", 4)
    interpolate_video(
        tmp_path / "frames", tmp_path / "out.mp4", model=Averager(), source_fps="30000/1001"
    )
    assert times_of(tmp_path / "out.mp4") == [Fraction(1001, 60000) * n for n in range(8)]
    assert frames_of(tmp_path / "out.mp4")[0].color_range != 2  # players expect limited range
    with pytest.raises(ValueError, match="has its own frame times"):
        interpolate_video(
            tmp_path / "out.mp4", tmp_path / "again.mp4", model=Averager(), source_fps="30"
        )


def test_images_are_overwritten_only_on_request(tmp_path: Path) -> None:
    pictures(tmp_path / "frames", 3)
    pattern = tmp_path / "out" / "%04d.jpg"
    interpolate_video(tmp_path / "frames", pattern, model=Averager())
    assert len(list((tmp_path / "out").iterdir())) == 6
    check_refused(tmp_path / "frames", pattern, "0001.jpg exists")
    check_refused(tmp_path / "frames", tmp_path / "out" / "%d.xyz", "images cannot be written")
    interpolate_video(tmp_path / "frames", pattern, model=Averager(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("frames", "out")] == []


def test_unusable_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_refused(tmp_path / "empty", tmp_path / "out.mp4", "holds no images")
    check_refused(tmp_path / "frames" / "%d.png", tmp_path / "out.mp4", "holds no images")
    pictures(tmp_path / "frames", 3)
    (tmp_path / "frames" / "000002.png").write_text("no picture")
    check_refused(tmp_path / "frames", tmp_path / "out.mp4", "000002.png cannot be (read|opened)")
    assert image_files(tmp_path / "film.mp4") is None


def test_a_target_of_an_unknown_type_is_refused(render_video: Render, tmp_path: Path) -> None:
    with pytest.raises(
        VideoError, match=r"\.mp4 \.m4v \.mkv \.mov \.webm .* \.gif \.apng, or images such as"
    ):
        interpolate_video(render_video(frames=3), tmp_path / "out.txt", model=Averager())


def test_images_can_be_written_to_the_current_folder(
    render_video: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, here = render_video(frames=2, sound=False), tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    interpolate_video(source, "%d.png", model=Averager())
    assert sorted(path.name for path in here.iterdir()) == ["1.png", "2.png", "3.png", "4.png"]
    assert sorted(tmp_path.iterdir()) == [here, source]
