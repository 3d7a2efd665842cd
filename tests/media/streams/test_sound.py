"""Converted sound: its times, gaps and damage."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.sound import RATE, codec_for, render_tone, sound_of, tone_begins
from helpers.video import Averager, render_frame

from midframe.media.streams.output_streams import (
    Losses,
)
from midframe.media.streams.sound import ConvertedSound
from midframe.media.streams.sound_format import (
    SoundFormat,
)
from midframe.video.pipeline import interpolate_video


def test_conversion_continues_when_the_channels_change(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("mpeg4", 25)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        track: Any = container.add_stream("ac3", RATE, layout="5.1(side)")
        container.start_encoding()
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for layout, first in (("5.1(side)", 0), ("stereo", 16)):
            encoder: Any = av.CodecContext.create("ac3", "w")
            encoder.sample_rate, encoder.layout, encoder.format = RATE, layout, "fltp"
            encoder.time_base = Fraction(1, RATE)
            for number in range(first, first + 15):
                wave = np.sin(np.arange(1536) * 0.0573) * (0.4 if first else 0.1)
                samples = np.repeat(wave, av.AudioLayout(layout).nb_channels)[None].astype(
                    np.float32
                )
                sound = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
                sound.sample_rate, sound.pts, sound.time_base = (
                    RATE,
                    number * 1536,
                    Fraction(1, RATE),
                )
                for packet in encoder.encode(sound):
                    packet.stream = track
                    container.mux(packet)
    for target, options in (("out.webm", {"codec": "vp9"}), ("slow.mkv", {"slow": 2})):
        report = interpolate_video(source, tmp_path / target, model=Averager(), **options)
        assert not report.problems
        samples, begin = sound_of(tmp_path / target)
        slow = int(str(options.get("slow", 1)))
        middle, near = round((0.512 * slow - float(begin)) * RATE), RATE // 12 * slow
        assert 0.02 < abs(samples[near : middle - near]).mean() < 0.15
        assert abs(samples[middle + near : round(0.9 * slow * RATE)]).mean() > 0.2


def test_lost_and_undecodable_packets_become_silence_and_are_reported(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv", "flac", chunk=4608, tone_at=0.1)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        damaged = packets[5]
        place, when = damaged.pos, float(damaged.pts * damaged.time_base)
    begin = data.index(bytes(damaged), place)
    data[begin : begin + damaged.size] = bytes(damaged.size)
    source.write_bytes(data)
    report = interpolate_video(source, tmp_path / "out.webm", model=Averager(), codec="vp9")
    texts = [f"audio stream 1: a packet that cannot be decoded becomes silence at {when:.2f} s"]
    assert (list(report.damage), report.problems) == (texts, ())
    samples, begin_of_sound = sound_of(tmp_path / "out.webm")
    first = round((when - float(begin_of_sound)) * RATE)
    assert abs(samples[first + 1000 : first + 3600]).max() < 0.01
    assert abs(samples[first - 3000 : first - 500]).max() > 0.2
    assert abs(samples[first + 6000 : first + 9000]).max() > 0.2


@pytest.mark.parametrize("slow", [1, 2])
def test_converted_sound_keeps_gaps_between_packets(tmp_path: Path, slow: int) -> None:
    source = render_tone(tmp_path / "in.mkv", tone_at=0, skip=(10, 20))  # from 0.213 s to 0.427 s
    target = tmp_path / "out.mp4"
    report = interpolate_video(source, target, model=Averager(), slow=slow)
    assert not report.problems
    samples, begin = sound_of(target)
    loud = abs(samples) > 0.1
    first, last = round(10 * 1024 * slow - begin * RATE), round(20 * 1024 * slow - begin * RATE)
    assert not loud[first + 3000 : last - 3000].any()
    assert loud[: first - 1500].any()
    assert loud[last + 1500 : last + 6000].any()


@pytest.mark.parametrize("begin", [0.2, 0.0])
@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_converted_sound_keeps_its_start_and_sync(
    tmp_path: Path, begin: float, suffix: str
) -> None:
    source, target = render_tone(tmp_path / "in.mkv", begin=begin), tmp_path / f"out.{suffix}"
    slow = 2 if suffix == "mp4" else None
    report = interpolate_video(source, target, model=Averager(), slow=slow, codec=codec_for(suffix))
    assert not report.problems
    smeared = 0.06 if slow else 0.012  # by the windows of atempo
    assert abs(tone_begins(target) - 0.5 * (slow or 1)) < smeared


@pytest.mark.parametrize(
    ("target", "options"),
    [("out.mkv", {}), ("out.webm", {"codec": "vp9"}), ("part.mp4", {"start": 0.12, "end": 0.7})],
)
def test_two_audio_streams_keep_their_offsets_from_the_video(
    tmp_path: Path, target: str, options: dict[str, Any]
) -> None:
    """The video begins 0.2 s after the first sound; both sounds are audible from 0.6 s on."""
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("mpeg4", 25)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        tracks: list[Any] = [
            container.add_stream(each, RATE, layout="stereo") for each in ("pcm_s16le", "aac")
        ]
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index + 5
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track, begin in zip(tracks, (0, 14400), strict=True):
            for first in range(begin, 57600, 1024):
                times = (first + np.arange(1024)) / RATE
                wave = np.where(times >= 0.6, 0.3 * np.sin(2 * np.pi * 440 * times), 0).astype(
                    np.float32
                )
                sound = av.AudioFrame.from_ndarray(
                    np.repeat(wave, 2)[None], format="flt", layout="stereo"
                )
                sound.sample_rate, sound.pts, sound.time_base = RATE, first, Fraction(1, RATE)
                container.mux(track.encode(sound))
            container.mux(track.encode(None))
    report = interpolate_video(source, tmp_path / target, model=Averager(), **options)
    assert not report.problems
    for number in range(2):
        assert abs(tone_begins(tmp_path / target, number) - 0.4 + options.get("start", 0)) < 0.003


@pytest.mark.parametrize("chunk", [1024, 24000])
def test_converted_sound_of_a_time_range_is_cut_to_the_sample(tmp_path: Path, chunk: int) -> None:
    source, target = (
        render_tone(tmp_path / "in.mkv", tone_at=0.7, chunk=chunk),
        tmp_path / "out.mp4",
    )
    report = interpolate_video(source, target, model=Averager(), start=0.28, end=0.88)
    assert not report.problems
    samples, begin = sound_of(target)
    assert abs(tone_begins(target) - 0.42) < 0.01
    assert abs(float(begin)) < 0.03
    assert abs(len(samples) / RATE + float(begin) - 0.6) < 0.03


def test_float_sound_with_nan_is_encoded(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    render_tone(source, "pcm_f32le", tone_at=0.1)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packet = [packet for packet in container.demux(audio=0) if packet.size][20]
    place = data.index(bytes(packet))
    data[place : place + packet.size] = np.full(packet.size // 4, np.nan, np.float32).tobytes()
    source.write_bytes(data)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager(), slow=2)
    assert not report.problems
    assert np.isfinite(sound_of(tmp_path / "out.mp4")[0]).all()


def test_pcm_becomes_aac_in_mp4_and_is_copied_into_quicktime(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv")
    assert interpolate_video(source, tmp_path / "out.mov", model=Averager()).converted == ()
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.converted == ("audio stream 1 (pcm_s16le sound becomes aac)",)


def test_sound_with_an_empty_header_is_identified_by_its_packets(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv", "ac3")
    losses = Losses("audio stream 1")
    with av.open(str(source)) as container, av.open(str(tmp_path / "out.mkv"), "w") as result:
        stream = container.streams.audio[0]
        wrong = SoundFormat(8000, "s16", "mono", 1)
        output = ConvertedSound(stream, result, Fraction(1), wrong, losses)
        encoded = [
            each for part in container.demux(stream) if part.size for each in output.packets(part)
        ]
        encoded += list(output.flush())
        for each in encoded:
            result.mux(each)
    assert not losses.texts()
    assert abs(len(sound_of_file(tmp_path / "out.mkv")) / 16000 - 1) < 0.2


def sound_of_file(path: Path) -> np.ndarray[Any, Any]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
