"""Results as numbered images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.image_sequences import folder_of, rendered
from helpers.video import Averager, check_refused, render_frame
from PIL import Image

from midframe.media.pictures.images import write_image
from midframe.video.pipeline import interpolate_video


def test_properties_that_images_do_not_store_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    clear = np.dstack([render_frame(0), render_frame(1)[..., 0]]).astype(np.uint16) * 257
    for number in range(2):
        write_image(folder / f"{number}.png", clear)
    report = interpolate_video(folder, tmp_path / "out" / "%d.jpg", model=Averager())
    assert report.dropped == ("bits beyond 8 of each sample (JPEG; PNG and TIFF hold 16)", "alpha")
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_result_replaces_only_the_images_of_an_earlier_result(tmp_path: Path) -> None:
    folder, target = folder_of(tmp_path / "frames", rendered(5)), tmp_path / "out" / "a%03d.png"
    interpolate_video(folder, target, model=Averager())
    for name in ("a0001.png", "b001.png", "notes.txt"):
        (tmp_path / "out" / name).write_text("mine")
    (folder / "0005.png").unlink()
    (folder / "0004.png").unlink()
    check_refused(folder, target, r"a001\.png exists: name another output, or give --overwrite")
    interpolate_video(folder, target, model=Averager(), overwrite=True)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a0001.png", *(f"a{n:03}.png" for n in range(1, 7)), "b001.png", "notes.txt"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    folder, target = folder_of(tmp_path / "frames", rendered(2)), tmp_path / "out"
    target.mkdir()
    (target / ".DS_Store").touch()
    (target / "holiday.jpg").touch()
    check_refused(
        folder, target, r"out holds other files \(holiday\.jpg\): name a new folder", overwrite=True
    )
    (target / "holiday.jpg").unlink()
    interpolate_video(folder, target, model=Averager())
    assert sorted(path.name for path in target.iterdir()) == [
        ".DS_Store",
        *(f"{n:06}.png" for n in range(1, 5)),
    ]


def test_a_source_is_never_overwritten(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", rendered(3), "%d.png")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    check_refused(folder, folder, "frames is an input", overwrite=True)
    check_refused(folder, folder / "%d.png", r"1\.png is an input", overwrite=True)
    check_refused(
        folder / "%d.png",
        tmp_path / "frames" / ".." / "frames" / "%d.png",
        "is an input",
        overwrite=True,
    )
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    interpolate_video(folder, folder / "twice-%d.png", model=Averager())
    assert len(list(folder.iterdir())) == 9
    pages = [Image.fromarray(image) for image in rendered(3)]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], duration=100)
    check_refused(tmp_path / "a.gif", tmp_path / "a.gif", "is an input", overwrite=True)


def test_images_in_the_current_folder_are_named_by_their_pattern(
    render_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = render_video(frames=3)
    monkeypatch.chdir(tmp_path)
    report = interpolate_video(source, "film-%04d.png", model=Averager())
    assert report.dropped == ("audio stream 1 (film-%04d.png holds images only)",)


def test_muted_sound_is_not_reported_as_dropped(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("film-%04d.png", "a.gif"):
        report = interpolate_video(
            render_video(frames=3), tmp_path / name, model=Averager(), mute=True
        )
        assert report.dropped == ()
