"""Times of sources that state none, state some, or state wrong ones."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.video import Averager, render_frame, times_of

from midframe.errors import VideoError
from midframe.media.reading.reader import VideoReader
from midframe.video.pipeline import interpolate_video
from midframe.video.report import VideoReport

Render = Callable[..., Path]
NTSC = Fraction(30000, 1001)
RAW = {"codec": "ffv1", "overlays": False}


def write(
    path: Path, rate: Fraction = Fraction(25), frames: int = 30, begin: float = 0, **changes: Any
) -> Path:
    """Render a video in H.264 or HEVC whose clock begins at a time in seconds."""
    size = changes.get("size", (64, 96))
    with av.open(
        str(path), "w", options={"output_ts_offset": str(begin)} if begin else {}
    ) as container:
        options = {
            "bf": changes.get("bf", "0"),
            "g": changes.get("gop", "250"),
            "preset": "ultrafast",
            "x265-params": "log-level=none",
        }
        stream = container.add_stream(
            "libx265" if path.suffix == ".hevc" else "libx264", rate, options=options
        )
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        stream.codec_context.sample_aspect_ratio = changes.get("aspect", Fraction(1))
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(render_frame(index, *size), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def join(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def interpolated(source: Path, **options: Any) -> tuple[VideoReport, list[Fraction]]:
    """Interpolate; return the report and the times of the result."""
    target = source.with_name("out.mkv")
    report = interpolate_video(source, target, model=Averager(), **{**RAW, **options})
    return report, times_of(target)


@pytest.mark.parametrize("name", ["in.mxf", "in.wmv"])
@pytest.mark.parametrize("bf", ["0", "2"])
def test_containers_with_only_decoding_times_show_frames_at_equal_steps(
    tmp_path: Path, name: str, bf: str
) -> None:
    source = write(tmp_path / name, bf=bf)
    report, _ = interpolated(source)
    with VideoReader(source) as reader:
        times = [frame.pts * reader.time_base for frame in reader.read()]
    assert report.frames_kept == 30
    assert times[0] == 0
    assert all(
        abs(after - before - Fraction(1, 25)) <= Fraction(1, 500)
        for before, after in pairwise(times)
    )


@pytest.mark.parametrize("name", ["in.mpg", "in.h264", "in.hevc"])
@pytest.mark.parametrize("bf", ["0", "2"])
def test_frames_without_times_follow_the_ones_before(tmp_path: Path, name: str, bf: str) -> None:
    source = write(tmp_path / name, NTSC, bf=bf)
    report, times = interpolated(source)
    assert (report.frames_in, report.frames_kept, report.frames_out) == (30, 30, 60)
    assert abs(report.length_out - 30 / NTSC) <= Fraction(2, 1000)
    assert all(
        abs(after - before - 1 / NTSC / 2) <= Fraction(1, 1000) for before, after in pairwise(times)
    )
    assert not report.problems


def test_a_time_range_of_a_video_without_times_begins_at_its_start(tmp_path: Path) -> None:
    source = write(tmp_path / "in.h264", frames=150)
    with VideoReader(source) as reader:
        whole = [bytes(frame.picture.planes[0]) for frame in reader.read()]
    report, _ = interpolated(source, start=4.0, end=5.0)
    assert report.frames_in == 25
    first = next(av.open(str(tmp_path / "out.mkv")).decode(video=0))
    assert bytes(first.planes[0]) == whole[100]


def test_the_stated_end_of_a_joined_recording_is_not_reported_as_damage(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.ts", begin=200), write(tmp_path / "2.ts", begin=100)
    report, _ = interpolated(join(tmp_path / "in.ts", first, second))
    assert abs(report.length_out - Fraction(60, 25)) < Fraction(1, 100)
    assert not [place for place in report.damage if "states" in place]


def test_a_truncated_flv_is_reported(tmp_path: Path) -> None:
    whole = write(tmp_path / "in.flv", frames=60, gop="10")
    assert interpolated(whole)[0].damage == ()
    (tmp_path / "cut.flv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    places = interpolated(tmp_path / "cut.flv", overwrite=True)[0].damage
    assert any("before the end that the file states" in place for place in places)


def test_frames_before_the_first_key_frame_are_reported_once(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", frames=60, gop="20")
    with av.open(str(source)) as source_file, av.open(str(tmp_path / "cut.mkv"), "w") as container:
        stream = container.add_stream_from_template(source_file.streams.video[0])
        for number, packet in enumerate(source_file.demux(video=0)):
            if packet.size and number >= 13:
                packet.stream = stream
                container.mux(packet)
    report, _ = interpolated(tmp_path / "cut.mkv")
    assert report.frames_in == 40
    assert report.damage == (
        "the first 7 frames cannot be decoded (no key frame precedes) at 0.00 s",
    )


def test_a_change_of_size_is_reported_once(tmp_path: Path) -> None:
    first, second = (
        write(tmp_path / "1.ts", frames=10),
        write(tmp_path / "2.ts", frames=10, size=(96, 128)),
    )
    report, _ = interpolated(join(tmp_path / "in.ts", first, second))
    assert len([place for place in report.damage if "128x96" in place]) == 1


def test_a_change_of_the_pixel_aspect_ratio_is_reported_once(tmp_path: Path) -> None:
    aspects = (Fraction(16, 15), Fraction(64, 45))
    parts = [
        write(tmp_path / f"{number}.ts", frames=10, aspect=aspect)
        for number, aspect in enumerate(aspects)
    ]
    report, _ = interpolated(join(tmp_path / "in.ts", *parts))
    (place,) = [place for place in report.damage if "aspect" in place]
    assert "from 16/15 to 64/45" in place


def test_frames_are_used_if_all_packets_are_flagged_as_damaged(
    tmp_path: Path,
) -> None:
    source = write(tmp_path / "in.ts")
    data = bytearray(source.read_bytes())
    for place in range(0, len(data), 188):
        if (data[place + 1] & 0x1F, data[place + 2]) == (1, 0):
            data[place + 1] |= 0x80
    source.write_bytes(data)
    report, _ = interpolated(source)
    assert report.frames_kept == 30
    assert [place for place in report.damage if "flagged" in place]


def test_frames_that_all_have_the_same_time_get_a_common_rate(tmp_path: Path) -> None:
    source = tmp_path / "equal.mkv"
    with (
        av.open(str(write(tmp_path / "in.mkv"))) as source_file,
        av.open(str(source), "w") as container,
    ):
        stream = container.add_stream_from_template(source_file.streams.video[0])
        for packet in source_file.demux(source_file.streams.video[0]):
            if packet.size:
                packet.stream, packet.pts, packet.dts, packet.duration = stream, 0, 0, 0
                container.mux_one(packet)
    report, _ = interpolated(source)
    assert (report.frames_in, report.frames_kept) == (30, 30)
    assert abs(report.length_out - Fraction(30, 25)) < Fraction(1, 100)
    assert not report.problems
    assert (
        "the frames have no usable timestamps and are shown at a constant rate at an unknown time"
        in report.damage
    )


def test_sound_cut_off_by_an_edit_list_does_not_delay_the_video(
    render_video: Render, tmp_path: Path
) -> None:
    whole, source = render_video(frames=48), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source_file, av.open(str(source), "w") as container:
        streams = {
            each.index: container.add_stream_from_template(each) for each in source_file.streams
        }
        for packet in source_file.demux():
            if packet.size:
                early = round(Fraction(6, 5) / packet.time_base)
                packet.pts, packet.dts = packet.pts - early, packet.dts - early
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    report, times = interpolated(source)
    assert not report.problems
    assert times[0] < Fraction(7, 100)


def test_rates_beyond_the_resolution_of_matroska_are_refused_before_the_work(
    tmp_path: Path,
) -> None:
    source = write(tmp_path / "in.mp4", Fraction(1000))
    with pytest.raises(VideoError, match=r"up to 1000 frames per second.*\.mp4"):
        interpolated(source)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager(), codec="h264")
    assert not report.problems


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_video_and_sound_of_mxf_begin_together(tmp_path: Path, b_frames: str) -> None:
    """MPEG-2 in it has presentation times; H.264 in it and in ASF has decoding times instead."""
    source = tmp_path / "in.mxf"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mpeg2video", 25, options={"bf": b_frames})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        track: Any = container.add_stream("pcm_s16le", 48000, layout="mono")
        packets: list[av.Packet] = []
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(render_frame(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += stream.encode(frame)
            sound = av.AudioFrame(format="s16", layout="mono", samples=1920)
            sound.sample_rate, sound.pts = 48000, 1920 * index
            packets += track.encode(sound)
        container.mux([*packets, *stream.encode(None)])
    with VideoReader(source) as reader:
        times = [frame.pts * reader.time_base for frame in reader.read()]
        begins = [span.begin for span in reader.survey.spans.values()]
    assert times == [Fraction(n, 25) for n in range(12)]
    assert begins == [0, 0]


def test_repeated_decoding_times_at_the_end_lose_no_frame(tmp_path: Path) -> None:
    source = tmp_path / "in.wmv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mpeg2video", 25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(render_frame(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    report, times = interpolated(source)
    assert (report.frames_kept, report.problems) == (25, ())
    assert times == [Fraction(n, 50) for n in range(50)]
