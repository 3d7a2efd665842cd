"""Results in every container, read again by FFmpeg: video and sound keep their times."""

import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.video import Averager, frames_of

from midframe.errors import VideoError
from midframe.media.containers import CONTAINERS, default_codec
from midframe.media.streams.subtitles import ASS_HEADER
from midframe.video.compare import compare_video
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_video_and_sound_are_in_sync_in_every_container(
    render_video: Render, tmp_path: Path, suffix: str
) -> None:
    source, target = render_video(frames=24, rate=Fraction(24)), tmp_path / f"out{suffix}"
    report = interpolate_video(source, target, model=Averager())
    assert (report.frames_out, report.streams, report.problems) == (48, {"audio": 1}, ())
    frames = frames_of(target)
    times = [frame.dts if suffix == ".avi" else frame.pts for frame in frames]
    assert len(frames) == 48
    assert all(
        abs((after - before) * frames[0].time_base - Fraction(1, 48)) <= Fraction(1, 999)
        for before, after in pairwise(times)
    )
    assert report.sound_after_video_in is not None
    assert report.sound_after_video_out is not None
    assert abs(report.sound_after_video_in - report.sound_after_video_out) < Fraction(1, 200)


@pytest.mark.parametrize("suffix", [".avi", ".ts"])
def test_sound_packets_that_outlast_the_video_are_no_problem(
    render_video: Render, tmp_path: Path, suffix: str
) -> None:
    """MP4 cuts off what the encoder adds before and after the sound; at 120 frames a second that is
    many frames."""
    source = render_video(frames=60, rate=Fraction(60))
    assert interpolate_video(source, tmp_path / f"out{suffix}", model=Averager()).problems == ()


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is the independent reader")
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".avi", "h264"), (".avi", "ffv1"), (".ts", "h264"), (".m2ts", "hevc"), (".m4v", "hevc")],
)
def test_another_reader_decodes_every_frame(
    render_video: Render, tmp_path: Path, suffix: str, codec: str
) -> None:
    source, target = render_video(frames=12, rate=Fraction(24)), tmp_path / f"out{suffix}"
    assert interpolate_video(source, target, model=Averager(), codec=codec).problems == ()
    entries = "stream=nb_read_frames,r_frame_rate"
    words = f"ffprobe -v error -count_frames -select_streams v -show_entries {entries} -of csv=p=0"
    found = subprocess.run(
        [*words.split(), str(target)], capture_output=True, text=True, check=True
    )
    assert (found.stdout.split()[0], found.stderr) == ("48/1,24", "")


def test_the_codec_follows_the_container(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=3, sound=False)
    for suffix, codec in ((".webm", "vp9"), (".WEBM", "vp9"), (".mp4", "h264")):
        target = tmp_path / f"out{suffix}"
        assert interpolate_video(source, target, model=Averager()).problems == ()
        with av.open(str(target)) as container:
            assert (
                container.streams.video[0].codec_context.codec.canonical_name
                == codec
                == default_codec(suffix)
            )


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        (
            "o.webm",
            {"codec": "h264"},
            "webm files cannot hold h264, only av1, vp9: choose one with --codec",
        ),
        (
            "o.mp4",
            {"codec": "prores"},
            "mp4 files cannot hold prores, only h264, .* or name an OUT of .mov",
        ),
        ("o.ts", {"codec": "av1"}, "ts files cannot hold av1, only h264, hevc"),
        ("o.avi", {"codec": "vp9"}, "avi files cannot hold vp9, only h264, ffv1"),
        ("o.avi", {"vfr": True}, "need a constant frame rate: drop --vfr"),
        ("o.ogv", {}, "choose a name that ends in one of .mp4 .m4v"),
        ("o.gif", {"codec": "hevc"}, "does not use --codec"),
        ("frames/%03d.png", {"preset": "slow"}, "does not use --codec, --preset"),
    ],
)
def test_unsupported_options_of_a_container_are_refused_before_the_work(
    render_video: Render, tmp_path: Path, name: str, options: dict[str, Any], complaint: str
) -> None:
    source = render_video(frames=3)
    with pytest.raises(VideoError, match=complaint):
        interpolate_video(source, tmp_path / name, model=Averager(), **options)
    assert list(tmp_path.iterdir()) == [source]


def test_a_comparison_of_unequal_steps_is_refused_for_avi(
    render_video: Render, tmp_path: Path
) -> None:
    with pytest.raises(VideoError, match="need a constant frame rate"):
        compare_video(render_video(frames=3), tmp_path / "out.avi", model=Averager())


@pytest.mark.parametrize("suffix", [".ts", ".avi"])
def test_frames_are_rotated_if_the_container_has_no_display_matrix(
    render_video: Render, tmp_path: Path, suffix: str
) -> None:
    source, target = render_video(frames=3, rotation=90), tmp_path / f"out{suffix}"
    assert interpolate_video(source, target, model=Averager()).problems == ()
    assert (frames_of(target)[0].width, frames_of(target)[0].height) == (64, 96)


def test_unsupported_subtitles_are_reported(render_video: Render, tmp_path: Path) -> None:
    plain, source = render_video(frames=12), tmp_path / "text.mkv"
    with av.open(str(plain)) as read, av.open(str(source), "w") as container:
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 400,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "One"},
                }
            ]
        )
        streams = {
            stream.index: container.add_stream_from_template(stream) for stream in read.streams
        }
        text: Any = container.add_stream("subrip")
        text.time_base = text.codec_context.time_base = Fraction(1, 1000)
        text.codec_context.subtitle_header = ASS_HEADER
        for packet in read.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
        line = av.Packet(b"Hello")
        line.pts, line.dts, line.duration, line.time_base, line.stream = (
            100,
            100,
            200,
            Fraction(1, 1000),
            text,
        )
        container.mux(line)
    report = interpolate_video(source, tmp_path / "out.ts", model=Averager())
    assert report.problems == ()
    assert report.dropped == (
        "chapters (.ts files cannot hold them)",
        "subtitle stream 2 (subrip: mpegts files cannot hold it)",
    )


def test_sound_without_exact_times_in_avi_is_converted(
    render_video: Render, tmp_path: Path
) -> None:
    plain, source, target = (
        render_video(frames=24, rate=Fraction(24)),
        tmp_path / "opus.webm",
        tmp_path / "out.avi",
    )
    assert interpolate_video(plain, source, model=Averager(), factor=1).problems == ()
    report = interpolate_video(source, target, model=Averager())
    assert (report.problems, report.converted) == ((), ("audio stream 1 (opus sound becomes aac)",))


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_slowed_sound_is_stored_in_every_container(
    render_video: Render, tmp_path: Path, suffix: str
) -> None:
    source, target = render_video(frames=12, rate=Fraction(24)), tmp_path / f"out{suffix}"
    report = interpolate_video(source, target, model=Averager(), slow=2)
    assert (report.streams, report.problems) == ({"audio": 1}, ())
