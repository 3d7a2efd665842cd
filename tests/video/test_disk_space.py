"""Disks that are full, or disappear."""

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.resuming import Render, Stopper
from helpers.video import Averager

from midframe.errors import VideoError
from midframe.media.reading.reader import VideoReader
from midframe.video.pipeline import interpolate_video
from midframe.video.plan import LONG_SEGMENT


@pytest.mark.slow
def test_a_full_disk_keeps_finished_segments(
    render_video: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = render_video(frames=400), tmp_path / "out.mp4"

    class Full(sqlite3.Connection):
        def execute(self, statement: str, *rest: Any) -> sqlite3.Cursor:
            if "INSERT INTO segments" in statement and rest[0][0] == 2:
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(statement, *rest)

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **named: connect(*given, **named, factory=Full)
    )
    with pytest.raises(
        VideoError, match=r"out.mp4 cannot be written .*disk is full.*--resume continues"
    ):
        interpolate_video(source, target, model=Averager())
    monkeypatch.undo()
    report = interpolate_video(
        source, target, model=Stopper(400 - LONG_SEGMENT, OSError(errno.EIO)), resume=True
    )
    assert (report.frames_out, report.problems) == (800, ())


def test_too_little_disk_space_is_reported_before_the_work(
    render_video: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = render_video(frames=3)
    usage = type("Usage", (), {"total": 1 << 40, "free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(
        VideoError,
        match=r"has 100 bytes free, at least \d+ bytes are needed: free disk space",
    ):
        interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.slow
def test_a_temporary_read_error_keeps_finished_segments(
    render_video: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target, decoded = render_video(frames=300), tmp_path / "out.mp4", VideoReader._decode

    def failing(self: VideoReader, *given: Any, **named: Any) -> Iterator[av.VideoFrame]:
        for number, picture in enumerate(decoded(self, *given, **named)):
            if number == 250:
                raise av.FFmpegError(errno.EIO, "Input/output error")
            yield picture

    monkeypatch.setattr(VideoReader, "_decode", failing)
    with pytest.raises(VideoError, match=r"cannot be read now .*--resume continues"):
        interpolate_video(source, target, model=Averager())
    monkeypatch.undo()
    assert interpolate_video(source, target, model=Averager(), resume=True).problems == ()
