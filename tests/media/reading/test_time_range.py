"""Time ranges of a source."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from helpers.streams import chapters_of, render_rich, texts_of
from helpers.video import Averager, check_refused, frames_of, planes, times_of

from midframe.media.reading.reader import VideoReader
from midframe.media.reading.source import TimeRange
from midframe.media.reading.time_range import TimeRangeSelector
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


def test_a_time_range_includes_its_sound_subtitles_and_chapters(
    packets: Callable[[Path, str], list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    source, target = render_rich(tmp_path / "in.mkv", frames=120), tmp_path / "out.mkv"
    report = interpolate_video(source, target, model=Averager(), start=0.25, end=3)
    assert (report.frames_in, report.frames_out, report.problems) == (66, 132, ())
    sound, kept = packets(source, "audio"), packets(target, "audio")
    inside = [data for data, pts, duration in sound if Fraction(1, 4) <= pts < 3]
    assert [data for data, _, _ in kept] == inside
    assert texts_of(target)[0] == (0, Fraction(150, 1000), "Hello")
    assert texts_of(target)[1][:2] == (Fraction(250, 1000), Fraction(650, 1000))
    ends = [float(edge) for chapter in chapters_of(target) for edge in chapter[:2]]
    assert ends == pytest.approx([0, 2.25, 2.25, 2.75], abs=2e-3)
    assert abs(times_of(target)[0]) < Fraction(1, 20)


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.avi"])
def test_a_time_range_begins_at_its_frame_wherever_key_frames_are(
    render_video: Render, tmp_path: Path, name: str
) -> None:
    source = render_video(name, frames=200, rate=Fraction(25), sound=False)
    whole = [planes(frame)[0] for frame in frames_of(source)]
    with VideoReader(source, time_range=TimeRange(5.2, 5.6)) as reader:
        found = [planes(frame.picture)[0] for frame in reader.read()]
    assert len(found) == 10
    assert all(map(np.array_equal, found, whole[130:140]))


@pytest.mark.parametrize("name", ["in.mkv", "in.avi"])  # ticks of 1/1000 and of 1/25 s
def test_a_time_range_begins_at_the_first_frame_after_its_start_in_any_time_base(
    render_video: Render, name: str
) -> None:
    source = render_video(name, frames=10, rate=Fraction(25), sound=False)
    with VideoReader(source, time_range=TimeRange(0.05, 0.29)) as reader:
        times = [float(frame.pts * reader.time_base) for frame in reader.read()]
    assert times == [0.08, 0.12, 0.16, 0.2, 0.24, 0.28]


def test_a_time_range_outside_the_video_is_refused(render_video: Render, tmp_path: Path) -> None:
    check_refused(
        render_video(frames=24), tmp_path / "out.mp4", "no frame from 100 s on", start=100
    )
    check_refused(
        render_video(frames=24),
        tmp_path / "out.mp4",
        "end is 1 and start is 2: the end must be later than the start",
        ValueError,
        start=2,
        end=1,
    )


def test_packets_repeated_by_a_seek_are_no_clock_restart(
    render_video: Callable[..., Path],
) -> None:
    source = render_video(frames=72, rate=Fraction(1))  # one key frame in the first 60 s
    target = source.with_name("o.mp4")
    report = interpolate_video(source, target, model=Averager(), start=60, end=70)
    assert report.damage == ()
    assert report.frames_in == 10


@pytest.mark.parametrize(("start", "end", "count"), [(0.0, None, 4), (0.0, 2 / 24, 2)])
def test_a_clock_corrected_by_fractions_of_a_tick_loses_no_frame(
    start: float, end: float | None, count: int
) -> None:
    tick, correction = Fraction(1, 12288), Fraction(62, 1000)
    first = 1020 * tick - correction
    pts = [1020 + 512 * number - round(correction / tick) for number in range(4)]
    picture = av.VideoFrame(32, 32, "yuv420p")
    selector = TimeRangeSelector(Path("in.mp4"), TimeRange(start, end), first, tick, None)
    converter: Any = SimpleNamespace(convert=lambda frame: frame)
    shown = list(
        selector.frames([(picture, each, 512) for each in pts], converter, 512, lambda _: None)
    )
    assert len(shown) == count
