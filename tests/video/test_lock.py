"""Locks of results: one process at a time."""

import signal
from pathlib import Path

import pytest
from helpers.resuming import Render, start, start_forked, wait_for_segments
from helpers.video import frames_of

from midframe.errors import VideoError
from midframe.video.lock import LOCK_FILE, FolderLock
from midframe.video.segments import (
    Segments,
    segments_folder,
)


@pytest.mark.slow
def test_a_second_job_on_a_result_is_refused_and_the_first_continues(
    render_video: Render, tmp_path: Path, tiny_weights: Path
) -> None:
    source, other, target = (
        render_video(frames=300, cut_at=40),
        render_video("other.mp4", frames=3),
        tmp_path / "out.mp4",
    )
    first = start(source, target, tiny_weights)
    try:
        wait_for_segments(first, target)
        first.send_signal(signal.SIGSTOP)  # so that it is at work whatever the others take
        for file, more in (
            (source, ["--resume"]),
            (source, ["--overwrite"]),
            (source, []),
            (other, ["--resume"]),
        ):
            second = start_forked(file, target, tiny_weights, *more)
            _, errors = second.communicate()
            assert second.returncode == 1
            assert b"is being worked on by another process" in b" ".join(errors.split())
            assert b"Traceback" not in errors
        first.send_signal(signal.SIGCONT)
        _, errors = first.communicate()
    finally:
        first.kill()
    assert first.returncode == 0, errors
    assert not segments_folder(target).exists()
    assert len(frames_of(target)) == 600


@pytest.mark.slow
def test_a_killed_job_leaves_no_lock(
    render_video: Render, tmp_path: Path, tiny_weights: Path
) -> None:
    source, target = render_video(frames=300, cut_at=40), tmp_path / "out.mp4"
    first = start(source, target, tiny_weights)
    try:
        wait_for_segments(first, target)
    finally:
        first.kill()
        first.communicate()
    second = start_forked(source, target, tiny_weights, "--resume")
    _, errors = second.communicate()
    assert second.returncode == 0, errors


def test_a_result_can_be_locked_once_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    first = Segments(target, {"crf": 18})
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(VideoError, match=r"out.mp4 is being worked on by another process"):
            Segments(target, {"crf": 18}, **options)
    first.add(0, b"", [])
    assert first.close()
    assert sorted(path.name for path in segments_folder(target).iterdir()) == [
        "job.json",
        "segments.db",
    ]
    with pytest.raises(VideoError, match="holds unfinished work"):
        Segments(target, {"crf": 18})
    with pytest.raises(VideoError, match="crf was 18 and is 20"):
        Segments(target, {"crf": 20}, resume=True)
    second = Segments(target, {"crf": 18}, resume=True)
    assert second.finished == 1
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_folder_was_removed_is_acquired_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, locked = tmp_path / "out.midframe", FolderLock._try_lock

    def late(self: FolderLock) -> int:
        file = locked(self)
        if next(attempts) == 0:  # another process ends just now, which removes what it had
            (folder / LOCK_FILE).unlink()
            folder.rmdir()
        return file

    attempts = iter(range(10))
    monkeypatch.setattr(FolderLock, "_try_lock", late)
    lock = FolderLock(folder)
    assert (folder / LOCK_FILE).exists()
    assert next(attempts) == 2
    (folder / "frames").mkdir()
    (folder / "frames" / "1.png").touch()
    lock.clear()
    lock.release()
    assert not folder.exists()
