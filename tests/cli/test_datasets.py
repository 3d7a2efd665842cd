"""Commands for datasets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midframe.errors import DatasetError


@pytest.mark.parametrize("option", ["--random-patches", "--plain"])
def test_the_old_name_of_random_patches_is_accepted_but_not_shown(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    configs = []

    def create(videos: Path, out: Path, config: Any, **_: Any) -> dict[str, Any]:
        configs.append(config)
        raise DatasetError("enough")

    monkeypatch.setattr("midframe.data.create.create_dataset", create)
    run("dataset", "create", tmp_path, tmp_path / "set", option, 7)
    assert configs[0].random_patches == 7
    assert "--plain" not in run("dataset", "create", "--help")[1]


def test_files_that_cannot_be_read_are_named_after_the_others_with_exit_status_1(
    run: Callable, tmp_path: Path, render_video: Callable[..., Path]
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    render_video("clip.mp4", frames=8, size=(96, 128), sound=False).rename(clips / "clip.mp4")
    (clips / "broken.mp4").write_text("no video")
    code, _, errors = run(
        "dataset", "create", clips, tmp_path / "set", "--size", 48, "--workers", 1
    )
    assert code == 1
    assert "failed: broken.mp4: cannot be opened as a video" in errors
    assert "1 of 2 files could not be read" in errors
    assert list((tmp_path / "set" / "train").glob("clip-*.tar"))
