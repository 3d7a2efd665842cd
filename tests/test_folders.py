import os
from pathlib import Path
from typing import Any

import pytest

from midframe.folders import walk


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in walk(folder))


def test_every_folder_is_searched_once_despite_several_links_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "z").mkdir(parents=True)
    (folder / "z" / "a").touch()
    (folder / "dead").symlink_to("nowhere")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "b").touch()
    (folder / "again").symlink_to("z")
    (folder / "z" / "loop").symlink_to("..")
    assert names_below(folder) == [".hidden", "dead", "z/a"]


def test_skipped_folders_are_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    (folder / "locked").mkdir(parents=True)
    (folder / "up").symlink_to("..")
    (tmp_path / "a").touch()
    list_folder = os.scandir

    def refuse(path: Path) -> Any:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names_below(folder) == names_below(folder) == []
    assert caplog.text.count("locked is skipped (Permission denied)") == 1
    assert caplog.text.count("up is skipped (it is a link to a folder that contains it)") == 1
