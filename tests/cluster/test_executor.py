"""Datasets on a real cluster."""

import os
from collections.abc import Callable
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from midframe.cluster.executor import RayExecutor
from midframe.errors import DatasetError

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow


def test_tasks_return_results_raise_errors_and_are_retried_in_a_new_process(
    machines: Any, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"

    def check_number(number: int) -> int:
        if number == 3:
            raise DatasetError("three is too many")
        if number == 4 and not ended.exists():
            ended.touch()
            os._exit(1)
        return number

    executor = RayExecutor()
    futures = {number: executor.submit(check_number, number) for number in (1, 3, 4)}
    assert len(list(as_completed(futures.values(), timeout=120))) == 3
    assert (futures[1].result(), futures[4].result()) == (1, 4)
    assert ended.exists()
    with pytest.raises(DatasetError, match="three is too many"):
        futures[3].result()
    executor.shutdown(cancel_futures=True)


def test_a_dataset_created_on_a_cluster_equals_that_of_one_machine(
    run: Run, machines: Any, render_video: Callable[..., Path], tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("clips/a.mp4", "clips/b.mp4"):
        render_video(name, frames=16, size=(96, 128), sound=False)
    arguments = ["--size", 48, "--per-clip", 8]
    status, _, errors = run(
        "dataset", "create", clips, tmp_path / "spread", *arguments, "--ray", "auto"
    )
    assert status == 0, errors
    assert run("dataset", "create", clips, tmp_path / "alone", *arguments, "--workers", 1)[0] == 0
    spread, alone = (
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.suffix != ".png"
        }
        for folder in (tmp_path / "spread", tmp_path / "alone")
    )
    assert spread == alone
    assert any(path.suffix == ".tar" for path in alone)
