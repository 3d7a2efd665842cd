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
