import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from midframe.errors import CheckpointError, VideoError
from midframe.outputs import (
    atomic_write,
    check_output_file,
    check_output_folder,
    real_path,
    unfinished_path,
)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that cannot be written to: one without permission, or for root a folder of a
    read-only file system."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # root cannot create files there
    yield folder
    (tmp_path / "locked").chmod(0o700)


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    source, link, twin = tmp_path / "a.png", tmp_path / "link.png", tmp_path / "twin.png"
    source.touch()
    link.symlink_to(source)
    os.link(source, twin)
    for path in (source, link, twin, tmp_path / "x" / ".." / "a.png", tmp_path / "." / "a.png"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(VideoError, match="is an input"):
            check_output_file(path, inputs=[tmp_path / "missing.png", source], overwrite=True)
    with pytest.raises(VideoError, match="is an input"):
        check_output_folder(tmp_path / "x" / "..", inputs=[tmp_path])


def test_a_file_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    check_output_file(path, overwrite=False)
    path.touch()
    with pytest.raises(CheckpointError, match="exists: name another output, or give --overwrite"):
        check_output_file(path, overwrite=False, error=CheckpointError)
    check_output_file(path, overwrite=True)


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path, locked: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "out.png", "is not a folder: make it first"),
        (tmp_path / "file" / "out.png", "is not a folder"),
        (locked / "out.png", "cannot be written"),
        (Path("/dev/null"), "not a regular file"),
    ):
        with pytest.raises(VideoError, match=reason):
            check_output_file(path, overwrite=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "locked"]


def test_a_folder_in_a_file_or_a_read_only_folder_is_refused(tmp_path: Path, locked: Path) -> None:
    (tmp_path / "file").touch()
    check_output_folder(tmp_path / "new" / "newer")
    check_output_folder(tmp_path)
    assert not (tmp_path / "new").exists()
    for path, reason in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "below", "is a file"),
        (locked / "scores", "cannot be written"),
    ):
        with pytest.raises(VideoError, match=reason):
            check_output_folder(path)


def test_a_file_is_written_atomically_with_the_permissions_of_new_files(tmp_path: Path) -> None:
    path, other = tmp_path / "out.bin", tmp_path / "other"
    other.touch()
    with atomic_write(path) as unfinished:
        unfinished.unlink()
        os.close(
            os.open(unfinished, os.O_CREAT | os.O_WRONLY, 0o600)
        )  # like writers that use temporary files of their own
        assert not path.exists()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as unfinished:
        unfinished.write_text(f"new {1 / 0}")
    assert path.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "out.bin"]


def test_a_long_name_is_shortened_for_the_unfinished_file(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".png")
    assert len(os.fsencode(unfinished_path(path).name)) <= 255
    with atomic_write(path) as unfinished:
        unfinished.write_text("x")
    assert path.read_text() == "x"


def test_a_link_is_kept_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link, file = tmp_path / "out.png", tmp_path / "disk" / "other.png"
    link.symlink_to(file)
    for text in ("first", "second"):
        with atomic_write(link) as unfinished:
            assert unfinished.parent == tmp_path / "disk"
            unfinished.write_text(text)
        assert link.is_symlink()
        assert file.read_text() == text


def test_links_to_another_suffix_and_loops_are_not_followed(tmp_path: Path) -> None:
    links = {"a.png": "store/0a1b", "b.png": "c.png", "c.png": "b.png"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    for name in links:
        assert real_path(tmp_path / name) == tmp_path / name
