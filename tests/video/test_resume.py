"""Resuming work that stopped, and replacing results."""

import ctypes
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.resuming import Render, Stopper, same_frames
from helpers.video import Averager

from midframe.errors import MidframeError, VideoError
from midframe.video.pipeline import interpolate_video
from midframe.video.plan import SHORT_SEGMENT
from midframe.video.segments import (
    segments_folder,
)

REPEATABLE = {"x264-params": "mbtree=0"}
"""On processors with AVX-512 x264's macroblock tree reads memory that nothing was written to: two
runs differ."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec"), [("out.mp4", "h264"), ("out.mp4", "hevc"), ("out.mkv", "av1"),
    ("out.webm", "vp9"),
                        ("out.mov", "prores"), ("out.mkv", "ffv1")],
)  # fmt: skip
@pytest.mark.parametrize("fault", [MidframeError("it broke"), KeyboardInterrupt()])
def test_resumed_work_gives_the_same_result(
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
    stopper = Stopper(
        149 - SHORT_SEGMENT // 2, fault
    )  # fewer frames than in all: finished ones are not interpolated again
    report = interpolate_video(source, target, model=stopper, **options, resume=True)
    assert (report, report.problems) == (expected, ())
    assert same_frames(whole, target)
    assert not segments_folder(target).exists()


def test_errors_and_later_runs_report_that_work_can_be_resumed(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    with pytest.raises(
        MidframeError,
        match=r"it broke; finished segments are kept in .*out.mp4.midframe: the same command with "
        r"--resume continues",
    ):
        interpolate_video(source, target, model=Stopper(140, MidframeError("it broke")))
    with pytest.raises(
        VideoError,
        match="holds unfinished work: continue it with --resume, or start again with --overwrite",
    ):
        interpolate_video(source, target, model=Averager())
    assert interpolate_video(source, target, model=Averager(), overwrite=True).problems == ()


def test_failed_work_without_a_segment_leaves_no_files(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=150)
    with pytest.raises(MidframeError, match=r"it broke$"):
        interpolate_video(
            source, tmp_path / "out.mp4", model=Stopper(50, MidframeError("it broke"))
        )
    assert list(tmp_path.iterdir()) == [source]


def test_resuming_without_earlier_work_starts_from_the_beginning(
    render_video: Render, tmp_path: Path
) -> None:
    report = interpolate_video(
        render_video(frames=3), tmp_path / "out.mp4", model=Averager(), resume=True
    )
    assert (report.frames_out, report.problems) == (6, ())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"crf": 30}, "crf was 18 and is 30"), ({"factor": 3}, "factor was None and is 3"),
     ({"model": type("Other", (Averager,), {"identity": "other"})()}, "the network differs")],
)  # fmt: skip
def test_resuming_with_other_settings_is_refused(
    render_video: Render, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    with pytest.raises(MidframeError):
        interpolate_video(source, target, model=Stopper(140, MidframeError("it broke")))
    with pytest.raises(VideoError, match=complaint):
        interpolate_video(source, target, **{"model": Averager(), **changes}, resume=True)
    assert interpolate_video(source, target, model=Averager(), resume=True).problems == ()


def test_resuming_with_another_source_is_refused(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    with pytest.raises(MidframeError):
        interpolate_video(source, target, model=Stopper(140, MidframeError("it broke")))
    render_video(frames=150, cut_at=75)
    with pytest.raises(VideoError, match="the video differs"):
        interpolate_video(source, target, model=Averager(), resume=True)


@pytest.mark.parametrize("change", ["replaced", "grown", "removed"])
def test_a_source_that_changes_while_it_is_read_is_reported(
    render_video: Render, tmp_path: Path, change: str
) -> None:
    source, target = render_video(frames=40, sound=False), tmp_path / "out.mp4"
    other = render_video("other.mp4", frames=40, cut_at=20, sound=False)

    def disturb(done: float, _: float | None) -> None:
        if done < 20 or not other.exists():
            return
        if change == "grown":
            with source.open("ab") as file:
                file.write(bytes(1000))
        elif change == "removed":
            source.unlink()
        other.replace(source) if change == "replaced" else other.unlink()

    report = interpolate_video(source, target, model=Averager(), progress=disturb)
    assert target.exists()
    changed = [text for text in report.problems if "changed while it was read" in text]
    assert len(changed) == (change != "removed")


@pytest.mark.slow
def test_damage_found_late_in_strict_mode_keeps_finished_segments(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video("in.mkv", frames=400, sound=False), tmp_path / "out.mp4"
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 9 // 10])
    with pytest.raises(VideoError, match=r"is damaged.*--resume continues"):
        interpolate_video(source, target, model=Averager(), strict=True)
    report = interpolate_video(source, target, model=Averager(), resume=True)
    assert report.damage
    assert report.problems == ()


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="how much memory is used is read from /proc"
)
def test_memory_stays_flat_over_four_thousand_frames(render_video: Render, tmp_path: Path) -> None:
    source, target = (
        render_video(frames=4000, rate=Fraction(25), size=(48, 64)),
        tmp_path / "out.mp4",
    )
    used: list[float] = []

    def measure(done: float = 0, _: float | None = None) -> None:
        if done % 200 == 0:
            if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
                trim(0)  # or what is used again would hide growth
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            used.append(round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1))

    report = interpolate_video(source, target, model=Averager(), progress=measure)
    measure()
    assert (report.frames_in, report.frames_out, report.problems) == (4000, 8000, ())
    print(f"\nMiB in use every 200 frames, and at the end: {used}")
    # times, and compressed thumbnails until the result is checked, take 1 MiB
    assert max(used[4:]) - used[4] < 8


def test_a_finished_result_is_not_rendered_again(render_video: Render, tmp_path: Path) -> None:
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
            VideoError,
            match="was made with other options or from another source: name another output",
        ):
            interpolate_video(source, target, **{"model": Averager(), **changes}, resume=True)
    assert list(tmp_path.iterdir()) in ([source, target], [target, source])


@pytest.mark.slow
def test_replacing_a_result_is_resumed_where_it_stopped(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=150), tmp_path / "out.mp4"
    interpolate_video(source, target, model=Averager(), crf=30)
    with pytest.raises(MidframeError, match="it broke"):
        interpolate_video(
            source, target, model=Stopper(140, MidframeError("it broke")), overwrite=True
        )
    stopper = Stopper(149 - SHORT_SEGMENT // 2, MidframeError("it broke"))
    assert (
        interpolate_video(source, target, model=stopper, overwrite=True, resume=True).problems == ()
    )
    assert interpolate_video(source, target, model=Averager(), resume=True).already_complete


@pytest.mark.parametrize("exists", [True, False])
def test_a_result_is_written_to_the_target_of_a_link(
    render_video: Render, tmp_path: Path, exists: bool
) -> None:
    source, link = render_video(frames=3), tmp_path / "out.mp4"
    (tmp_path / "disk").mkdir()
    link.symlink_to("disk/film.mp4")
    if exists:
        interpolate_video(source, tmp_path / "disk" / "film.mp4", model=Averager())
    report = interpolate_video(source, link, model=Averager(), overwrite=exists)
    assert report.problems == ()
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["film.mp4"]
    assert interpolate_video(source, link, model=Averager(), resume=True).already_complete
