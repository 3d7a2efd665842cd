"""Processes that are interrupted, stopped or killed."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.resuming import Render, same_pictures, start, start_forked, wait_for_segments
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
def test_an_interrupted_run_leaves_nothing_but_work_to_go_on_with(
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_at_twenty_random_moments_ends_as_one_that_was_not(
    render_video: Render, tmp_path: Path, tiny_weights: Path
) -> None:
    source, target, whole = (
        render_video(frames=420, cut_at=100),
        tmp_path / "out.mp4",
        tmp_path / "whole.mp4",
    )
    begin = time.monotonic()
    process = start_forked(source, whole, tiny_weights)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    length = time.monotonic() - begin
    chance, kills = random.Random(4), 0
    while kills < 20:
        process = start_forked(source, target, tiny_weights, "--resume")
        try:
            process.communicate(timeout=chance.uniform(0.1, 1.0) * length)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        kills += 1
        assert target.exists() or process.returncode != 0
        if target.exists():  # whole, though it may have been killed while it read the result again
            assert same_pictures(whole, target)
            target.unlink()
            shutil.rmtree(segments_folder(target), ignore_errors=True)
    process = start_forked(source, target, tiny_weights, "--resume")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert same_pictures(whole, target)
    assert not segments_folder(target).exists()
