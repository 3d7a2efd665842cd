"""Interrupted work, for tests of resuming."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from helpers.processes import ForkedCommand
from helpers.signals import default_signals
from helpers.video import Averager, frames_of, planes
from midframe.media.pictures.images import Array
from midframe.video.segments import (
    segments_folder,
)

Render = Callable[..., Path]


class Stopper(Averager):
    """Fails at a chosen frame, counted over all interpolated frames."""

    def __init__(self, at: int, error: BaseException) -> None:
        super().__init__()
        self.left, self.error = at, error

    def interpolate_many(
        self, first: Array, second: Array, times: Any, **options: Any
    ) -> list[Array]:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().interpolate_many(first, second, times, **options)


def same_frames(one: Path, other: Path) -> bool:
    """Return whether two videos have the same samples at the same times."""
    pairs = list(zip(frames_of(one), frames_of(other), strict=True))
    return all(
        a.pts * a.time_base == b.pts * b.time_base
        and all(map(np.array_equal, planes(a), planes(b)))
        for a, b in pairs
    )


COLUMNS = {"COLUMNS": "80"}


def command_line(source: Path, target: Path, weights: Path, *more: str) -> list[str]:
    """Return the words of a command whose result can be repeated."""
    words = ["video", str(source), str(target), "--model", str(weights), *more]
    return [*words, "--encoder-option", "x264-params=mbtree=0"]


def start(source: Path, target: Path, weights: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start a command as a shell does."""
    command = [sys.executable, "-m", "midframe", *command_line(source, target, weights, *more)]
    with default_signals():
        return subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **COLUMNS},
        )


def start_forked(source: Path, target: Path, weights: Path, *more: str) -> ForkedCommand:
    """Start a command in a process that has imported everything."""
    return ForkedCommand(*command_line(source, target, weights, *more), environment=COLUMNS)


def wait_for_segments(process: subprocess.Popen[bytes], target: Path) -> None:
    """Wait until a run has finished a segment; how fast it is does not matter."""
    while not finished_segments(target):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def finished_segments(target: Path) -> int:
    path = segments_folder(target) / "segments.db"
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            found: int = database.execute("SELECT count(*) FROM segments").fetchone()[0]
    except sqlite3.Error:
        return 0
    finally:
        database.close()
    return found
