"""Videos with unusual times: every frame is kept, and the duration is that of the source."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, render_frame

from midframe.errors import VideoError
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]
PACKET = 188
"""Bytes of a packet of a transport stream."""


def write_video(
    path: Path,
    times: Sequence[int],
    tick: Fraction = Fraction(1, 25),
    codec: str = "mpeg4",
    sound: bool = False,
    rate: Fraction = Fraction(25),
    keys: int = 250,
    **container_options: str,
) -> Path:
    """Render a video with frames at times in ticks."""
    with av.open(str(path), "w", options=container_options) as container:
        options = {"bf": "2" if keys > 1 else "0", "g": str(keys)}
        stream = container.add_stream(codec, rate, options=options if codec != "ffv1" else {})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = tick
        audio = container.add_stream("aac", 48000, layout="mono") if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            frame.pts, frame.time_base = time, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio:
            for start in range(0, int((times[-1] + 1) * tick * 48000), 1024):
                chunk = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
                )
                chunk.sample_rate, chunk.pts = 48000, start
                container.mux(audio.encode(chunk))
            container.mux(audio.encode(None))
    return path


def lumas(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [
            frame.reformat(format="yuv420p").to_ndarray()[:64]
            for frame in container.decode(video=0)
        ]


def kept_in_order(source: Path, result: Path) -> int:
    """Count the frames of a source that a lossless result contains unchanged, in order."""
    shown, place, count = lumas(result), 0, 0
    for frame in lumas(source):
        found = next((n for n in range(place, len(shown)) if np.array_equal(shown[n], frame)), None)
        if found is not None:
            place, count = found + 1, count + 1
    return count


def check(
    source: Path, frames: int, length: Fraction, tolerance: Fraction = Fraction(1, 500)
) -> None:
    result = source.with_name("out.mkv")
    report = interpolate_video(source, result, model=Averager(), codec="ffv1")
    assert (report.problems, report.damage, report.warnings) == ((), (), ())
    assert (report.frames_in, report.frames_kept, kept_in_order(source, result)) == (
        frames,
        frames,
        frames,
    )
    assert abs(report.length_out - length) <= tolerance


def test_dropped_frames_in_avi_do_not_shift_the_others(tmp_path: Path) -> None:
    times = [n for n in range(40) if n % 10 != 7]
    check(write_video(tmp_path / "drops.avi", times), 36, Fraction(40, 25))


@pytest.mark.parametrize("rate", [120, 144, 240])
def test_high_rates_in_matroska_keep_every_frame(tmp_path: Path, rate: int) -> None:
    source = write_video(
        tmp_path / "fast.mkv", range(48), Fraction(1, rate), "libx264", rate=Fraction(rate)
    )
    check(source, 48, Fraction(48, rate))


def test_a_late_first_frame_does_not_shift_the_others(tmp_path: Path) -> None:
    times = [0, *(3000 * n + 1650 for n in range(1, 40))]
    source = write_video(
        tmp_path / "late.mp4", times, Fraction(1, 90000), "libx264", rate=Fraction(30)
    )
    check(source, 40, Fraction(3000 * 40 + 1650, 90000), tolerance=Fraction(1, 60))


@pytest.mark.parametrize(("rate", "delays"), [(15, (7, 6, 7)), (24, (4, 4, 5)), (30, (3, 3, 4))])
def test_gifs_keep_every_frame(tmp_path: Path, rate: int, delays: Sequence[int]) -> None:
    times = [sum(delays[n % 3] for n in range(number)) for number in range(24)]
    with av.open(str(tmp_path / "in.gif"), "w") as container:
        stream = container.add_stream("gif", rate)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb8"
        stream.codec_context.time_base = Fraction(1, 100)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24").reformat(
                format="rgb8"
            )
            frame.pts, frame.time_base = time, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    report = interpolate_video(tmp_path / "in.gif", tmp_path / "out.mp4", model=Averager())
    assert (report.frames_kept, report.frames_out, report.problems) == (24, 48, ())


def test_frames_with_equal_times_are_spread_up_to_the_next_time(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", range(40), codec="ffv1")
    same = tmp_path / "same.mkv"
    with av.open(str(whole)) as old, av.open(str(same), "w") as new:
        stream, time = new.add_stream_from_template(old.streams.video[0], opaque=True), -1
        for number, packet in enumerate(each for each in old.demux() if each.size):
            time += number % 10 != 9
            packet.pts = packet.dts = round(Fraction(time, 25) / packet.time_base)
            packet.stream = stream
            new.mux(packet)
    check(same, 40, Fraction(36, 25))


def test_the_times_of_a_broadcast_begin_at_zero(tmp_path: Path) -> None:
    source = write_video(
        tmp_path / "dvb.ts", range(25), codec="libx264", sound=True, output_ts_offset="40000"
    )
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert (report.problems, report.frames_kept) == ((), 25)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert abs(container.duration - 1.04e6) < 0.1e6
        assert container.start_time < 0.05e6


def test_joined_recordings_play_one_after_the_other(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a.ts", range(25), codec="libx264", sound=True)
    second = write_video(tmp_path / "b.ts", range(50), codec="libx264", sound=True)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    report = interpolate_video(joined, tmp_path / "out.mp4", model=Averager())
    assert report.problems == ()
    assert any("timestamps restart" in place and "at 1.0" in place for place in report.damage)
    assert report.frames_kept >= 74
    assert abs(report.length_out - 3) < Fraction(1, 10)


def test_a_lost_packet_is_bridged_and_reported_with_its_time(tmp_path: Path) -> None:
    source = write_video(tmp_path / "whole.ts", range(50), codec="libx264")
    data = source.read_bytes()
    packets = [data[place : place + PACKET] for place in range(0, len(data), PACKET)]
    picture = [
        n
        for n, each in enumerate(packets)
        if (each[1] & 0x1F) << 8 | each[2] == 0x100 and not each[1] & 0x40
    ]
    lost = tmp_path / "lost.ts"
    lost.write_bytes(b"".join(each for n, each in enumerate(packets) if n != picture[-1]))
    report = interpolate_video(lost, tmp_path / "out.mp4", model=Averager())
    assert 1 <= len(report.damage) <= 2  # the packet after the gap counts as damaged, too
    assert all("damaged at" in place for place in report.damage)
    assert report.problems == ()
    assert report.frames_kept >= 48
    assert abs(report.length_out - 2) < Fraction(1, 25)
    with pytest.raises(
        VideoError, match=r"is damaged: .* at .* s; without --strict the damage is bridged"
    ):
        interpolate_video(lost, tmp_path / "strict.mp4", model=Averager(), strict=True)


@pytest.mark.parametrize("place", [0, 20, 39])
def test_a_frame_that_cannot_be_decoded_does_not_affect_others(tmp_path: Path, place: int) -> None:
    source = write_video(tmp_path / "whole.mkv", range(40), codec="libx264", keys=1)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        broken = [packet for packet in container.demux(video=0) if packet.size][place]
        begin = data.index(bytes(broken), broken.pos)
        data[begin : begin + broken.size] = bytes(broken.size)
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(data)
    report = interpolate_video(bad, tmp_path / "out.mkv", model=Averager(), codec="ffv1")
    assert report.problems == ()
    assert report.damage
    assert report.frames_kept >= 39 - (place == 0)
    assert abs(report.length_out - Fraction(40, 25)) <= Fraction(2, 25)
