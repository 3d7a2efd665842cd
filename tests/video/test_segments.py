"""Segments: their ends and times, and unfinished work that is kept, resumed or refused."""

import json
import sqlite3
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.resuming import Render
from helpers.video import Averager, frames_of

from midframe.errors import BusyError, VideoError
from midframe.video.pipeline import interpolate_video
from midframe.video.plan import LONG_SEGMENT
from midframe.video.segment_database import SegmentDatabase
from midframe.video.segments import (
    DATABASE,
    JOB_FILE,
    Segments,
    UnusableWorkError,
    lock_target,
    segments_folder,
)
from midframe.video.sinks.protocol import abort_on_error

JOB = {"crf": 18}


def new_segments(path: Path, count: int, **options: Any) -> Segments:
    """Add `count` segments to those in a folder."""
    segments = Segments(path, JOB, **options)
    for number in range(segments.finished, segments.finished + count):
        packet = av.Packet(b"frame")
        packet.pts = number
        segments.add(number, b"parameters", [packet])
    return segments


def test_finished_segments_are_counted_and_kept_until_they_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    segments = new_segments(target, 2)
    assert segments.finished == 2
    (segments.folder / "1.png").touch()
    assert segments.close()
    assert {path.name for path in segments.folder.iterdir()} == {JOB_FILE, DATABASE}
    assert json.loads((segments.folder / JOB_FILE).read_text()) == JOB
    segments = new_segments(target, 1, resume=True)
    assert segments.finished == 3
    assert segments.extradata() == b"parameters"
    assert [packet.pts for packet in segments.packets(3)] == [0, 1, 2]
    segments.remove()
    assert list(tmp_path.iterdir()) == []
    lock_target(target).release()


def test_without_a_finished_segment_nothing_is_kept(tmp_path: Path) -> None:
    segments = new_segments(tmp_path / "out.mp4", 0)
    assert segments.extradata() == b""
    assert segments.close() is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ended", [Segments.close, Segments.remove])
def test_after_the_end_no_segment_can_be_added(
    tmp_path: Path, ended: Callable[[Segments], object]
) -> None:
    segments = new_segments(tmp_path / "out.mp4", 1)
    ended(segments)
    with pytest.raises(VideoError, match="closed database"):
        segments.add(1, b"", [])


def test_a_result_has_one_lock_at_a_time(tmp_path: Path) -> None:
    lock = lock_target(tmp_path / "out.mp4")
    with pytest.raises(BusyError, match=r"out.mp4 is being worked on by another process"):
        lock_target(tmp_path / "out.mp4")
    lock.release()


def test_unfinished_work_is_resumed_or_discarded_only_on_request(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    assert new_segments(target, 1).close()
    with pytest.raises(VideoError, match="continue it with --resume, or start again"):
        new_segments(target, 0)
    for options, finished in (
        ({"resume": True}, 1),
        ({"resume": True, "overwrite": True}, 2),
        ({"overwrite": True}, 0),
    ):
        segments = new_segments(target, 0, **options)
        assert segments.finished == finished
        segments.add(segments.finished, b"", [])
        assert segments.close()


def test_a_work_folder_without_a_job_is_emptied(tmp_path: Path) -> None:
    folder = segments_folder(tmp_path / "out.mp4")
    folder.mkdir()
    for name in (DATABASE, "1.png"):
        (folder / name).write_text("from a start that failed")
    segments = new_segments(tmp_path / "out.mp4", 1, resume=True)
    assert segments.finished == 1
    assert {path.name for path in folder.iterdir()} == {JOB_FILE, DATABASE, "lock"}
    segments.remove()


def test_segments_of_another_database_are_counted(tmp_path: Path) -> None:
    other = SegmentDatabase(tmp_path / "other.db", new=True)
    other.add(1, b"parameters", [])
    other.close()
    segments = new_segments(tmp_path / "out.mp4", 1)
    segments.add_file(tmp_path / "other.db")
    assert segments.finished == 2
    segments.remove()


def test_segments_of_different_encoders_are_not_joined(tmp_path: Path) -> None:
    segments = new_segments(tmp_path / "out.mp4", 1)
    segments.add(1, b"other parameters", [])
    with pytest.raises(VideoError, match=r"out.mp4.midframe was started with another version"):
        segments.extradata()
    segments.remove()


def test_a_segment_that_cannot_be_written_is_reported_and_not_counted(tmp_path: Path) -> None:
    segments = new_segments(tmp_path / "out.mp4", 1)
    with pytest.raises(VideoError, match=r"out.mp4 cannot be written \(UNIQUE.*make room there"):
        segments.add(0, b"", [])
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    with pytest.raises(VideoError, match=r"out.mp4 cannot be written \(file is not a database\)"):
        segments.add_file(tmp_path / "other.db")
    assert segments.finished == 1
    segments.remove()


@pytest.mark.parametrize(
    ("damaged", "text"),
    [
        (DATABASE, r"midframe holds .* that is damaged \(file is not a database\)"),
        (JOB_FILE, r"out.mp4 cannot be written \(Is a directory\)"),
    ],
)
def test_damaged_work_is_reported_and_can_be_overwritten(
    tmp_path: Path, damaged: str, text: str
) -> None:
    target = tmp_path / "out.mp4"
    segments = new_segments(target, 1)
    assert segments.close()
    path = segments.folder / damaged
    path.unlink()
    if damaged == DATABASE:
        path.write_bytes(b"no database" * 100)
    else:
        path.mkdir()
    with pytest.raises(VideoError, match=text):
        new_segments(target, 0, resume=True)
    segments = new_segments(target, 1, overwrite=True)
    assert segments.finished == 1
    segments.remove()


def test_a_refused_job_can_be_started_again_at_once(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    assert new_segments(target, 1).close()
    for _ in range(2):
        with pytest.raises(VideoError, match="crf was 18 and is 20"):
            Segments(target, {"crf": 20}, resume=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (JOB_FILE, b""),
        (JOB_FILE, b"[1]"),
        (JOB_FILE, b"\xff\xfe"),
        (DATABASE, None),
        (DATABASE, b""),
        (DATABASE, b"SQLite format 3\0" + 100 * b"x"),
    ],
)
def test_damaged_work_is_refused_until_it_is_discarded(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    target = tmp_path / "out.mp4"
    assert new_segments(target, 1).close()
    path = segments_folder(target) / name
    path.unlink() if content is None else path.write_bytes(content)
    for _ in range(2):  # the lock is released
        with pytest.raises(VideoError, match=r"out.mp4.midframe holds .* damaged .* --overwrite"):
            new_segments(target, 0, resume=True)
    segments = new_segments(target, 1, overwrite=True)
    assert segments.finished == 1
    segments.remove()


def test_work_that_lacks_a_segment_is_damaged(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    segments = new_segments(target, 2)
    segments._database._database.execute("DELETE FROM segments WHERE number = 0")
    segments._database._database.commit()
    assert segments.close()
    with pytest.raises(VideoError, match=r"damaged \(1 of 2 segments\)"):
        new_segments(target, 0, resume=True)


def test_packets_that_cannot_be_read_are_damaged_work(tmp_path: Path) -> None:
    segments = new_segments(tmp_path / "out.mp4", 1)
    segments._database._database.execute("DROP TABLE side_data")
    with (
        pytest.raises(UnusableWorkError, match=r"is damaged .*start again with --overwrite$"),
        abort_on_error(lambda: segments.folder),  # nothing of it can be resumed
    ):
        list(segments.packets(1))
    segments.remove()


def test_packets_in_a_locked_database_are_not_damaged(tmp_path: Path) -> None:
    segments = new_segments(tmp_path / "out.mp4", 1)
    segments._database._database.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(segments.folder / DATABASE)
    other.execute("BEGIN EXCLUSIVE")
    with (
        pytest.raises(VideoError, match=r"\(database is locked\): try again; .* with --resume"),
        abort_on_error(lambda: segments.folder),
    ):
        list(segments.packets(1))
    other.close()
    segments.remove()


def test_a_file_in_place_of_the_work_folder_is_reported(tmp_path: Path) -> None:
    segments_folder(tmp_path / "out.mp4").touch()
    with pytest.raises(VideoError, match=r"out.mp4.midframe is not a folder: delete it"):
        lock_target(tmp_path / "out.mp4")


def test_a_result_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"out.mp4 cannot be written \(No such file or directory"):
        lock_target(tmp_path / "missing" / "out.mp4")


def test_the_message_on_another_job_lists_what_changed(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    first = {"version": 1, "crf": 18, "fps": None, "video": "1a", "size": (4, 6), "old": 1}
    segments = Segments(target, first)
    segments.add(0, b"", [])
    assert segments.close()
    resumed = Segments(target, first, resume=True)
    assert resumed.finished == 1
    assert resumed.close()
    second = {"version": 1, "crf": 18, "fps": "60", "video": "2b", "size": (4, 6), "new": 2}
    with pytest.raises(VideoError) as refused:
        Segments(target, second, resume=True)
    assert str(refused.value) == (
        f"{segments_folder(target)} belongs to a result with other settings: "
        "fps was None and is 60, "
        "the video differs, old was 1 and is None, new was None and is 2; "
        "use the same options, or --overwrite"
    )


def test_work_of_another_version_is_refused_whatever_else_changed(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    segments = Segments(target, {"crf": 18, "version": 1})
    segments.add(0, b"", [])
    assert segments.close()
    with pytest.raises(VideoError, match=r"another version of midframe: .* --overwrite$"):
        Segments(target, {"crf": 20, "version": 2}, resume=True)


def test_segments_of_images_in_the_current_folder_are_stored_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert segments_folder(Path()) == tmp_path / "frames.midframe"


@pytest.mark.slow
def test_segments_end_at_cuts_and_at_a_maximum_duration(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=400, cut_at=50, sound=False), tmp_path / "out.mkv"
    interpolate_video(
        source,
        target,
        model=Averager(),
        encoder_options={"x264-params": "keyint=infinite:scenecut=0"},
    )
    keys = [n for n, frame in enumerate(frames_of(target)) if frame.key_frame]
    assert keys == [0, 100, 100 + LONG_SEGMENT, 100 + 2 * LONG_SEGMENT]


@pytest.mark.slow
def test_times_in_slow_motion_are_exact_across_segments(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=30, rate=Fraction(30000, 1001)), tmp_path / "out.mp4"
    report = interpolate_video(source, target, model=Averager(), slow=16)
    shown = [frame.pts * frame.time_base for frame in frames_of(target)]
    assert report.problems == ()
    assert shown == [Fraction(1001, 30000) * n for n in range(480)]
