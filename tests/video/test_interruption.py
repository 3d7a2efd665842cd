"""Processes that are interrupted, stopped or killed."""

import math
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.cuts import render_scenes
from helpers.processes import ForkedCommand
from helpers.resuming import (
    Render,
    finished_segments,
    same_frames,
    start,
    start_forked,
    wait_for_segments,
)
from helpers.signals import needs_hangup

from midframe.video.segments import (
    segments_folder,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("SIGINT", (130, -signal.SIGINT)),
        ("SIGTERM", (143,)),
        pytest.param("SIGHUP", (129,), marks=needs_hangup),
    ],
)
def test_an_interrupted_run_leaves_only_work_that_can_be_resumed(
    render_video: Render, tmp_path: Path, tiny_weights: Path, name: str, statuses: tuple[int, ...]
) -> None:
    source, target = render_video(frames=2000, size=(64, 96)), tmp_path / "out.mp4"
    process = start(source, target, tiny_weights)
    try:
        wait_for_segments(process, target)
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate()
    finally:
        process.kill()
    # Python dies of the signal itself where it arrives in code that C++ evaluates; a shell shows
    # 130 either way.
    assert process.returncode in statuses, errors
    assert b"Traceback" not in errors
    assert b"--resume continues" in b" ".join(errors.split())
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.mp4.midframe"]
    assert sorted(path.name for path in segments_folder(target).iterdir()) == [
        "job.json",
        "segments.db",
    ]
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.slow
def test_a_run_that_was_started_with_signals_ignored_ignores_them(
    render_video: Render, tmp_path: Path, tiny_weights: Path
) -> None:
    source, target = render_video(frames=300, cut_at=40), tmp_path / "out.mp4"
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [
        sys.executable,
        "-c",
        ignoring,
        sys.executable,
        "-m",
        "midframe",
        "video",
        str(source),
        str(target),
    ]
    process = subprocess.Popen(
        [*command, "--model", str(tiny_weights)], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        wait_for_segments(process, target)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 0, errors


SEGMENTS, KILLS = 6, 20


@pytest.mark.slow
def test_a_run_killed_twenty_times_gives_the_same_result_as_one_without_kills(
    tmp_path: Path, tiny_weights: Path
) -> None:
    source = render_scenes(tmp_path / "in.mp4", scenes=SEGMENTS)
    target, uninterrupted = tmp_path / "out.mp4", tmp_path / "uninterrupted.mp4"
    process = start_forked(source, uninterrupted, tiny_weights)
    wait_for(process, uninterrupted, 1)  # by then all is imported and compiled
    begin = time.monotonic()
    wait_for(process, uninterrupted, SEGMENTS)
    seconds = (time.monotonic() - begin) / (SEGMENTS - 1)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    chance, kills = random.Random(4), 0
    while kills < KILLS:
        # The kills are spread over the whole run, however fast it is: before the first segment,
        # between all others, and while they are joined and the result is read again.
        finished = kills * (SEGMENTS + 1) // KILLS
        process = start_forked(source, target, tiny_weights, "--resume")
        wait_for(process, target, finished)
        wait_for(process, target, finished + 1, chance.uniform(0, 2) * seconds)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), errors
        kills += process.returncode != 0
        assert target.exists() or process.returncode != 0
        if (
            target.exists()
        ):  # complete, though it may have been killed while it read the result again
            assert same_frames(uninterrupted, target)
            target.unlink()
            shutil.rmtree(segments_folder(target), ignore_errors=True)
    process = start_forked(source, target, tiny_weights, "--resume")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert same_frames(uninterrupted, target)
    assert not segments_folder(target).exists()


def wait_for(
    process: ForkedCommand, target: Path, segments: int, seconds: float = math.inf
) -> None:
    """Wait until a run has finished a number of segments, has a result or has ended, at most for a
    number of seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None and not target.exists():
        if finished_segments(target) >= segments:
            break
        time.sleep(0.005)
