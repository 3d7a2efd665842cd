"""Work that is stopped, by whatever, and gone on with."""

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.signals import default_signals
from helpers.video import Averager, frames_of, planes
from hypothesis import given
from hypothesis import strategies as st

from midframe.errors import MidframeError, VideoError
from midframe.media.pictures.images import Array
from midframe.media.reading.reader import VideoReader
from midframe.video.lock import LOCK_FILE, FolderLock
from midframe.video.pipeline import interpolate_video
from midframe.video.plan import LONG_SEGMENT, SHORT_SEGMENT
from midframe.video.segment_database import decoding_times
from midframe.video.segments import Segments, segments_folder

Render = Callable[..., Path]

REPEATABLE = {"x264-params": "mbtree=0"}
"""On processors with AVX-512 x264's macroblock tree reads memory that nothing was written to: two
runs differ."""


class Stopper(Averager):
    """Fails at the frame that was chosen, counted over all that it makes."""

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


def same_pictures(one: Path, other: Path) -> bool:
    """Whether two videos show the same at the same times, sample by sample."""
    pairs = list(zip(frames_of(one), frames_of(other), strict=True))
    return all(
        a.pts * a.time_base == b.pts * b.time_base
        and all(map(np.array_equal, planes(a), planes(b)))
        for a, b in pairs
    )


@pytest.mark.parametrize(
    ("name", "codec"), [("out.mp4", "h264"), ("out.mp4", "hevc"), ("out.mkv", "av1"),
    ("out.webm", "vp9"),
                        ("out.mov", "prores"), ("out.mkv", "ffv1")],
)  # fmt: skip
@pytest.mark.parametrize("fault", [MidframeError("it broke"), KeyboardInterrupt()])
def test_work_that_stopped_goes_on_to_the_same_result(
    render_video: Render, tmp_path: Path, name: str, codec: str, fault: BaseException
) -> None:
    source = render_video(frames=150, cut_at=40)
    whole, target = tmp_path / f"whole-{name}", tmp_path / name
    options: dict[str, Any] = {
        "codec": codec,
        "encoder_options": REPEATABLE if codec == "h264" else None,
    }
    expected = interpolate_video(source, whole, model=Averager(), **options)
    with pytest.raises(type(fault)):
        interpolate_video(source, target, model=Stopper(100, fault), **options)
    assert segments_folder(target).exists()
    assert not target.exists()
    made = Stopper(
        149 - SHORT_SEGMENT // 2, fault
    )  # fewer than there are: what was made is not made again
    report = interpolate_video(source, target, model=made, **options, resume=True)
    assert (report, report.problems) == (expected, ())
    assert same_pictures(whole, target)
    assert not segments_folder(target).exists()


def test_a_fault_tells_that_work_can_go_on(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    with pytest.raises(
        MidframeError,
        match=r"it broke; finished segments are kept in .*out.mp4.midframe, --resume continues",
    ):
        interpolate_video(source, target, model=Stopper(140, MidframeError("it broke")))
    with pytest.raises(
        VideoError,
        match="holds unfinished work: continue it with --resume, or start again with --overwrite",
    ):
        interpolate_video(source, target, model=Averager())
    assert interpolate_video(source, target, model=Averager(), overwrite=True).problems == ()


def test_work_that_has_no_segment_yet_leaves_nothing(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=150)
    with pytest.raises(MidframeError, match=r"it broke$"):
        interpolate_video(
            source, tmp_path / "out.mp4", model=Stopper(50, MidframeError("it broke"))
        )
    assert list(tmp_path.iterdir()) == [source]


def test_resuming_where_nothing_was_begun_begins(render_video: Render, tmp_path: Path) -> None:
    report = interpolate_video(
        render_video(frames=3), tmp_path / "out.mp4", model=Averager(), resume=True
    )
    assert (report.frames_out, report.problems) == (6, ())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"crf": 30}, "crf was 18 and is 30"), ({"factor": 3}, "factor was None and is 3"),
     ({"model": type("Other", (Averager,), {"identity": "other"})()}, "the network differs")],
)  # fmt: skip
def test_other_settings_are_refused(
    render_video: Render, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    with pytest.raises(MidframeError):
        interpolate_video(source, target, model=Stopper(140, MidframeError("it broke")))
    with pytest.raises(VideoError, match=complaint):
        interpolate_video(source, target, **{"model": Averager(), **changes}, resume=True)
    assert interpolate_video(source, target, model=Averager(), resume=True).problems == ()


def test_another_video_is_refused(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    with pytest.raises(MidframeError):
        interpolate_video(source, target, model=Stopper(140, MidframeError("it broke")))
    render_video(frames=150, cut_at=75)
    with pytest.raises(VideoError, match="the video differs"):
        interpolate_video(source, target, model=Averager(), resume=True)


def test_a_late_refusal_of_a_damaged_video_keeps_what_is_done(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video("in.mkv", frames=400, sound=False), tmp_path / "out.mp4"
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 9 // 10])
    with pytest.raises(VideoError, match=r"is damaged.*--resume continues"):
        interpolate_video(source, target, model=Averager(), strict=True)
    report = interpolate_video(source, target, model=Averager(), resume=True)
    assert report.damage
    assert report.problems == ()


def test_a_full_disk_keeps_what_is_done(
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


def test_a_disk_without_room_is_told_before_the_work(
    render_video: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = render_video(frames=3)
    usage = type("Usage", (), {"total": 1 << 40, "free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(
        VideoError,
        match=r"has 100 bytes free, and about \d+ bytes or more are needed: free disk space",
    ):
        interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert list(tmp_path.iterdir()) == [source]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(0, 4), st.randoms())
def test_frames_are_decoded_in_order_and_before_they_are_shown(
    gaps: list[int], depth: int, chance: random.Random
) -> None:
    shown = [sum(gaps[:n]) for n in range(len(gaps))]
    order: list[int] = []
    waiting = list(shown)
    while waiting:
        order.append(waiting.pop(chance.randint(0, min(depth, len(waiting) - 1))))
    decoded = decoding_times(order)
    assert all(before < after for before, after in pairwise(decoded))
    assert all(time <= pts for time, pts in zip(decoded, order, strict=True))
    assert depth or decoded == order


def start(source: Path, target: Path, weights: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "midframe",
        "video",
        str(source),
        str(target),
        "--model",
        str(weights),
        *more,
    ]
    command += ["--encoder-option", "x264-params=mbtree=0"]
    with default_signals():
        return subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "COLUMNS": "80"},
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "statuses"), [("SIGINT", (130, -signal.SIGINT)), ("SIGTERM", (143,))]
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
def test_a_second_job_on_a_result_is_refused_and_the_first_goes_on(
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
            second = start(file, target, tiny_weights, *more)
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
def test_a_job_that_was_killed_locks_nothing(
    render_video: Render, tmp_path: Path, tiny_weights: Path
) -> None:
    source, target = render_video(frames=300, cut_at=40), tmp_path / "out.mp4"
    first = start(source, target, tiny_weights)
    try:
        wait_for_segments(first, target)
    finally:
        first.kill()
        first.communicate()
    second = start(source, target, tiny_weights, "--resume")
    _, errors = second.communicate()
    assert second.returncode == 0, errors


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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_at_twenty_random_moments_ends_as_one_that_was_not(
    render_video: Render, tmp_path: Path, tiny_weights: Path
) -> None:
    source, target, whole = (
        render_video(frames=700, cut_at=100),
        tmp_path / "out.mp4",
        tmp_path / "whole.mp4",
    )
    begin = time.monotonic()
    process = start(source, whole, tiny_weights)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    length = time.monotonic() - begin
    chance, kills = random.Random(4), 0
    while kills < 20:
        process = start(source, target, tiny_weights, "--resume")
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
    process = start(source, target, tiny_weights, "--resume")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert same_pictures(whole, target)
    assert not segments_folder(target).exists()


def test_segments_end_at_cuts_and_after_a_while(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=400, cut_at=50, sound=False), tmp_path / "out.mkv"
    interpolate_video(
        source,
        target,
        model=Averager(),
        encoder_options={"x264-params": "keyint=infinite:scenecut=0"},
    )
    keys = [n for n, frame in enumerate(frames_of(target)) if frame.key_frame]
    assert keys == [0, 100, 100 + LONG_SEGMENT, 100 + 2 * LONG_SEGMENT]


def test_times_of_a_slow_film_are_exact_across_segments(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=30, rate=Fraction(30000, 1001)), tmp_path / "out.mp4"
    report = interpolate_video(source, target, model=Averager(), slow=16)
    shown = [frame.pts * frame.time_base for frame in frames_of(target)]
    assert report.problems == ()
    assert shown == [Fraction(1001, 30000) * n for n in range(480)]


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="how much memory is used is read from /proc"
)
def test_memory_stays_flat_over_ten_thousand_frames(render_video: Render, tmp_path: Path) -> None:
    source, target = (
        render_video(frames=10_000, rate=Fraction(25), size=(48, 64)),
        tmp_path / "out.mp4",
    )
    used: list[int] = []

    def measure(done: float, _: float | None) -> None:
        if done % 500 == 0:
            used.append(
                int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                >> 20
            )

    report = interpolate_video(source, target, model=Averager(), progress=measure)
    used.append(
        int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    )
    assert (report.frames_in, report.frames_out, report.problems) == (10_000, 20_000, ())
    print(f"\nMiB in use every 500 frames, and at the end: {used}")
    assert max(used[4:]) - used[4] < 24


def test_a_disk_that_is_gone_for_a_while_keeps_what_is_done(
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


def test_one_result_is_worked_on_once_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    first = Segments(target, {"crf": 18})
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(VideoError, match=r"out.mp4 is being worked on by another process"):
            Segments(target, {"crf": 18}, **options)
    first.add(0, b"", [])
    assert first.leave()
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


def test_a_lock_is_taken_anew_where_its_folder_was_removed(
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


def test_a_finished_result_is_not_made_again(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=3), tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager())
    before = target.stat()
    report = interpolate_video(
        source, target, model=Stopper(0, AssertionError("work is done again")), resume=True
    )
    assert report.already_complete
    assert report.as_json()["already_complete"]
    assert (target.stat().st_mtime_ns, target.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    for changes in (
        {"crf": 30},
        {"mute": True},
        {"model": type("Other", (Averager,), {"identity": "other"})()},
    ):
        with pytest.raises(
            VideoError, match="was made with other options: name another OUT, or give --overwrite"
        ):
            interpolate_video(source, target, **{"model": Averager(), **changes}, resume=True)
    assert list(tmp_path.iterdir()) in ([source, target], [target, source])


def test_replacing_a_result_goes_on_where_it_was_stopped(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager(), crf=30)
    with pytest.raises(MidframeError, match="it broke"):
        interpolate_video(
            source, target, model=Stopper(140, MidframeError("it broke")), overwrite=True
        )
    made = Stopper(149 - SHORT_SEGMENT // 2, MidframeError("it broke"))
    assert interpolate_video(source, target, model=made, overwrite=True, resume=True).problems == ()
    assert interpolate_video(source, target, model=Averager(), resume=True).already_complete
