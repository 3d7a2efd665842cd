"""Trials: whether streams can be copied or converted, found before the work."""

import errno
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from fuzz import render_sound
from helpers.sound import render_tone
from helpers.video import Averager

from midframe.errors import VideoError
from midframe.media.streams import trials
from midframe.media.streams.output_streams import (
    Losses,
)
from midframe.media.streams.sound import ConvertedSound
from midframe.media.streams.sound_format import (
    SoundFormat,
)
from midframe.media.streams.trials import plan_streams
from midframe.video.pipeline import interpolate_video


def test_sound_without_packets_is_dropped_and_reported_before_the_work(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv", "eac3", skip=(0, 1000))
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.dropped == ("audio stream 1 (it holds no packets)",)
    assert not report.problems


def test_the_trial_leaves_no_files_and_does_not_touch_the_result(tmp_path: Path) -> None:
    source, target = render_tone(tmp_path / "in.mkv", "ac3"), tmp_path / "out.mp4"
    target.write_bytes(b"kept")
    with av.open(str(source)) as container:
        others = [stream for stream in container.streams if stream.type == "audio"]
        plan = plan_streams(source, others, target, Fraction(1), mute=False)
    assert (plan.converted, plan.dropped) == ([], [])
    assert target.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mp4"]


def test_a_full_disk_is_reported_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = render_tone(tmp_path / "in.mkv", "ac3")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trials, "write_packets", full)
    with pytest.raises(VideoError, match=r"No space left on device.: choose another place"):
        interpolate_video(source, tmp_path / "out.mp4", model=Averager())


def test_a_clock_jump_in_the_first_packets_gives_no_silence_in_the_trial(
    tmp_path: Path,
) -> None:
    source = render_sound(tmp_path / "in.mkv", "pcm_s16le", "stereo")
    with av.open(str(source)) as container, av.open(str(tmp_path / "out.mp4"), "w") as result:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.size][:12]
        for packet in packets[6:]:
            packet.pts = packet.dts = packet.pts + 3_000_000
        sound = SoundFormat(48000, "s16", "stereo", 2)
        output = ConvertedSound(stream, result, Fraction(1), sound, Losses("audio stream 1"))
        result.start_encoding()
        assert 0 < trials.write_packets(result, output, packets) < 40


@pytest.mark.parametrize("suffix", [".ts", ".m2ts"])
def test_mpeg_audio_is_copied_into_transport_streams(tmp_path: Path, suffix: str) -> None:
    source = render_tone(tmp_path / "in.mkv", "mp2")
    with av.open(str(source)) as container:
        plan = plan_streams(
            source, container.streams.audio, tmp_path / f"out{suffix}", Fraction(1), mute=False
        )
    assert (plan.converted, plan.dropped) == ([], [])


def test_sound_of_short_packets_is_converted_into_transport_streams(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv", "pcm_s16le", chunk=40)
    with av.open(str(source)) as container:
        plan = plan_streams(
            source, container.streams.audio, tmp_path / "out.ts", Fraction(1), mute=False
        )
    assert plan.converted == ["audio stream 1 (pcm_s16le sound becomes aac)"]


def test_sound_that_cannot_be_decoded_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    given = render_tone(tmp_path / "given.mkv", "ac3")
    with av.open(str(given)) as container, av.open(str(source), "w") as result:
        stream = result.add_stream_from_template(container.streams.audio[0], opaque=True)
        for packet in container.demux(audio=0):
            if packet.size:
                unreadable = av.Packet(bytes(packet.size))
                unreadable.pts, unreadable.dts, unreadable.time_base = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                )
                unreadable.stream = stream
                result.mux(unreadable)
    with av.open(str(source)) as container:
        plan = plan_streams(
            source, container.streams.audio, tmp_path / "out.mkv", Fraction(1), mute=False
        )
    assert (plan.converted, plan.dropped) == ([], [])
