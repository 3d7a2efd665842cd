"""Sound that is converted or copied: its channels, rates, times and damage."""

import errno
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fuzz import render_sound
from helpers.video import Averager, render_frame

from midframe.errors import SourceError, VideoError
from midframe.media.reading.sound_headers import SoundHeaders
from midframe.media.streams import trials
from midframe.media.streams.output_streams import (
    CopiedStream,
    Losses,
    RisingTimes,
    TimeOutlierFilter,
)
from midframe.media.streams.sound import ConvertedSound
from midframe.media.streams.sound_format import (
    SoundFormat,
    choose_sound_encoding,
    decode_sound,
    format_of,
    mixing_filter,
)
from midframe.media.streams.trials import plan_streams
from midframe.media.writing import writer
from midframe.video.pipeline import interpolate_video

RATE = 48000
CONTAINERS = ("mp4", "mkv", "mov", "webm")


def codec_for(suffix: str) -> str:
    return "vp9" if suffix == "webm" else "h264"


def sound_of(path: Path, number: int = 0) -> tuple[np.ndarray[Any, Any], Fraction]:
    """The first channel of a sound, and when it begins after the first picture, in seconds."""
    with av.open(str(path)) as container:
        picture = next(packet for packet in container.demux(video=0) if packet.pts is not None)
        start = picture.pts * picture.time_base
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        frames = [
            frame
            for packet in container.demux(stream)
            for frame in decode_sound(stream.codec_context, packet)
        ]
        channels = [1 if frame.format.is_planar else format_of(frame).channels for frame in frames]
        chunk_lengths = [
            frame.to_ndarray()[0, ::step].astype(np.float32)
            / (32768 if frame.format.name.startswith("s16") else 1)
            for frame, step in zip(frames, channels, strict=True)
        ]
        begin = frames[0].pts * frames[0].time_base - start
    return np.concatenate(chunk_lengths), begin


def tone_begins(path: Path, number: int = 0) -> float:
    """When something is heard, in seconds after the first picture."""
    samples, begin = sound_of(path, number)
    with av.open(str(path)) as container:
        rate = container.streams.audio[number].rate
    return float(begin) + int(np.argmax(abs(samples) > 0.05)) / rate


def render_tone(
    path: Path, encoder: str = "pcm_s16le", layout: str = "stereo", tone_at: float = 0.5,
    begin: float = 0.0, seconds: float = 1.0, skip: tuple[int, int] = (0, 0), chunk: int = 1024,
) -> Path:  # fmt: skip
    """A film of one second whose sound is silent until a tone begins; some packets of the sound can
    be left out."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", 25)
        picture.width, picture.height, picture.pix_fmt = 48, 32, "yuv420p"
        track: Any = container.add_stream(encoder, RATE, layout=layout)
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        packets: list[av.Packet] = []
        for first in range(0, round((seconds - begin) * RATE), chunk):
            times = begin + (first + np.arange(chunk)) / RATE
            wave = np.where(times >= tone_at, 0.3 * np.sin(2 * np.pi * 440 * times), 0).astype(
                np.float32
            )
            samples = np.repeat(wave, av.AudioLayout(layout).nb_channels)[None]
            sound = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = (
                RATE,
                round(begin * RATE) + first,
                Fraction(1, RATE),
            )
            packets += track.encode(sound)
        packets += track.encode(None)
        for number, packet in enumerate(packets):
            if not skip[0] <= number < skip[1]:
                container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize(
    "sound", [("in.avi", "pcm_s16le"), ("in.wav.mkv", "pcm_s16le"), ("in.avi", "pcm_mulaw")]
)
def test_sound_without_a_stated_layout_gets_into_every_container(
    tmp_path: Path, suffix: str, sound: tuple[str, str]
) -> None:
    source, target = render_tone(tmp_path / sound[0], sound[1]), tmp_path / f"out.{suffix}"
    report = interpolate_video(source, target, model=Averager(), codec=codec_for(suffix))
    assert not report.problems
    assert report.streams == {"audio": 1}
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.layout.nb_channels == 2
    assert abs(tone_begins(target) - 0.5) < 0.012


def test_no_number_of_channels_no_layout_and_no_rate_ends_the_interpreter(tmp_path: Path) -> None:
    """PyAV reads past the planes of planar frames of 8 channels; this runs apart, as a crash would
    end the tests."""
    script = """
import sys
from fractions import Fraction
from pathlib import Path
from fuzz import render_sound
from midframe.media.reading.reader import VideoReader
from midframe.media.streams.trials import plan_streams
folder = Path(sys.argv[1])
layouts = [f"{count} channels" for count in range(1, 25)]
layouts += ["ambisonic 1", "hexadecagonal", "22.2", "7.1", "cube"]
forms = ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_f64le")
rates = (4000, 8000, 44100, 192000)
for number, layout in enumerate(layouts):
    encoder = forms[number % 5]
    source = folder / ("in.mkv" if "f" in encoder else "in.mov")
    render_sound(source, encoder, layout, rates[number % 4], Fraction(1, 10))
    with VideoReader(source) as reader:
        target, slow = folder / f"out.{('mp4', 'mkv', 'mov', 'webm')[number % 4]}", Fraction(5, 2)
        sounds = [stream for stream in reader.others if stream.type == "audio"]
        plan = plan_streams(source, sounds, target, slow, mute=False)
    print(layout, plan.converted or plan.dropped)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    path = sys.path
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 29
    assert all("becomes" in line or "encoded again" in line for line in lines), done.stdout
    assert not list(tmp_path.glob(".trial*"))


def test_sound_of_a_channel_order_of_its_own_keeps_its_channels(tmp_path: Path) -> None:
    """PyAV frees such layouts twice; this runs apart, as a crash would end the tests."""
    source = render_sound(tmp_path / "in.mov", "pcm_s16le", "3.0", seconds=Fraction(1, 5))
    data = source.read_bytes()
    place = data.index(b"chan") + 8
    source.write_bytes(
        data[:place] + (114 << 16 | 3).to_bytes(4, "big") + data[place + 4 :]
    )  # centre, left, right
    script = """
import sys
from pathlib import Path
from helpers.video import Averager
from midframe.video.pipeline import interpolate_video
for target, options in (("out.mkv", {}), ("out.mov", {}), ("slow.mp4", {"slow": 2})):
    report = interpolate_video(sys.argv[1], Path(sys.argv[2]) / target, model=Averager(), **options)
    print(report.problems, report.dropped, [each for each in report.converted if "audio" in each])
"""
    path = sys.path
    done = subprocess.run(
        [sys.executable, "-c", script, str(source), str(tmp_path)], capture_output=True, text=True,
        check=False, env={"PYTHONPATH": ":".join(path), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "() () ['audio stream 1 (pcm_s16le sound becomes aac)']",
        "() () []",
        "() () ['audio stream 1 (pcm_s16le sound becomes aac)']",
    ]


@pytest.mark.parametrize(
    ("container", "layout", "channels", "encoder", "chosen"),
    [
        ("mp4", "hexadecagonal", 16, "aac", "hexadecagonal"),
        ("webm", "hexadecagonal", 16, "libopus", "7.1"),
        ("webm", "5.1(side)", 6, "libopus", "5.1"),
        ("webm", "4.0", 4, "libopus", "quad"),
        ("mp4", "22.2", 24, "aac", "7.1"),
        ("matroska", "9 channels", 9, "pcm_s16le", "9 channels"),
        ("mp4", "9 channels", 9, "aac", "stereo"),
        ("mp4", "ambisonic 1", 4, "aac", "stereo"),
        ("mp4", "3 channels (FC+FL+FR)", 3, "aac", "3.0"),
    ],
)
def test_sound_gets_the_encoder_and_the_layout_that_keep_the_most(
    container: str, layout: str, channels: int, encoder: str, chosen: str
) -> None:
    found = choose_sound_encoding(container, SoundFormat(RATE, "s16", layout, channels))
    assert (found.encoder, found.layout) == (encoder, chosen)


@pytest.mark.parametrize(
    ("container", "rate", "chosen"),
    [
        ("mp4", 8000, 16000),
        ("mp4", 22000, 22050),
        ("mp4", 47000, 48000),
        ("mp4", 384000, 96000),
        ("webm", 44100, 48000),
    ],
)
def test_sound_gets_the_lowest_rate_of_the_encoder_that_keeps_all(
    container: str, rate: int, chosen: int
) -> None:
    assert choose_sound_encoding(container, SoundFormat(rate, "s16", "stereo", 2)).rate == chosen


def test_ambisonic_sound_becomes_stereo_of_two_cardioids() -> None:
    sound = SoundFormat(RATE, "s16", "ambisonic 1", 4)
    assert (
        mixing_filter(sound, choose_sound_encoding("mp4", sound))
        == "stereo|FL=0.5*c0+0.5*c1|FR=0.5*c0-0.5*c1"
    )


def test_sound_that_changes_its_channels_in_the_middle_is_converted_on(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        picture = container.add_stream("mpeg4", 25)
        picture.width, picture.height, picture.pix_fmt = 48, 32, "yuv420p"
        track: Any = container.add_stream("ac3", RATE, layout="5.1(side)")
        container.start_encoding()
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
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
def test_gaps_between_packets_are_kept_where_sound_is_converted(tmp_path: Path, slow: int) -> None:
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
def test_converted_sound_begins_and_is_heard_when_it_was(
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
def test_two_sounds_that_begin_at_other_times_than_the_picture_keep_them(
    tmp_path: Path, target: str, options: dict[str, Any]
) -> None:
    """The picture begins 0.2 s after the first sound, which is heard from 0.6 s on, as the second
    one is."""
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        picture = container.add_stream("mpeg4", 25)
        picture.width, picture.height, picture.pix_fmt = 48, 32, "yuv420p"
        tracks: list[Any] = [
            container.add_stream(each, RATE, layout="stereo") for each in ("pcm_s16le", "aac")
        ]
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index + 5
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
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
def test_converted_sound_of_a_part_is_cut_between_samples(tmp_path: Path, chunk: int) -> None:
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


def test_float_sound_with_values_that_are_no_numbers_is_encoded(tmp_path: Path) -> None:
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


def test_a_sound_without_packets_is_dropped_and_reported_before_the_work(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv", "eac3", skip=(0, 1000))
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.dropped == ("audio stream 1 (it holds no packets)",)
    assert not report.problems


def test_pcm_becomes_aac_in_mp4_and_is_copied_into_quicktime(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv")
    assert interpolate_video(source, tmp_path / "out.mov", model=Averager()).converted == ()
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.converted == ("audio stream 1 (pcm_s16le sound becomes aac)",)


def test_a_stream_that_fails_at_the_very_end_does_not_end_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is written again without it."""
    source = render_tone(tmp_path / "in.mkv", "ac3")
    failed: list[bool] = []
    original = writer.VideoWriter.finish

    def finish(self: Any) -> None:
        if not failed:
            failed.append(True)
            raise writer.StreamsFailed([1], "ac3: cannot be written")
        original(self)

    monkeypatch.setattr(writer.VideoWriter, "finish", finish)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.dropped == ("audio stream 1 (ac3: cannot be written)",)
    assert report.streams == {}
    assert not report.problems


def packet(
    pts: int | None, dts: int | None, duration: int = 10, base: Fraction = Fraction(1, 1000)
) -> av.Packet:
    made = av.Packet(b"x")
    made.pts, made.dts, made.duration, made.time_base = pts, dts, duration, base
    return made


class Stream:
    time_base = Fraction(1, 1000)


def test_times_of_decoding_rise_whatever_they_were() -> None:
    times = RisingTimes(equal=False)
    given = [(0, 0), (10, 10), (10, 10), (None, None), (5, 5), (None, 60), (2**63 - 1, 2**63 - 1)]
    mended = [times.fix(packet(*each), Stream()) for each in given]
    assert [each.dts for each in mended] == [0, 10, 11, 21, 22, 60, 70]
    assert all(each.pts >= each.dts for each in mended)
    equal = RisingTimes(equal=True)
    assert [equal.fix(packet(each, each), Stream()).dts for each in (0, 10, 10, 5)] == [
        0,
        10,
        10,
        10,
    ]


def test_times_rise_in_the_coarser_time_base_of_the_result() -> None:
    times, fine = RisingTimes(equal=False), Fraction(1, 90000)
    mended = [times.fix(packet(each, each, 1, fine), Stream()) for each in (0, 1, 2)]
    assert [each.dts for each in mended] == [0, 1, 2]


def test_a_single_wild_time_is_found_by_the_packet_after_it() -> None:
    losses = Losses("audio stream 1")
    place = TimeOutlierFilter(losses)
    given = [0, 10, 36_000_000, 30, 40, 5000, 5010]
    found = [each for time in given for each in place.feed(packet(time, time))] + list(
        place.flush()
    )
    assert [each.pts for each in found] == [0, 10, 20, 30, 40, 5000, 5010]
    assert losses.texts() == [
        "audio stream 1: a packet with a wrong time of 36000.00 s is placed at 0.02 s"
    ]


def test_losses_near_each_other_are_reported_as_one() -> None:
    losses = Losses("audio stream 1")
    for time in (1, 2, 30):
        losses.note("a packet is lost", Fraction(time, 10), Fraction(time + 1, 10))
    assert losses.texts() == [
        "audio stream 1: a packet is lost from 0.10 s to 0.30 s (2 packets)",
        "audio stream 1: a packet is lost at 3.00 s",
    ]


def test_a_damaged_packet_is_dropped_where_sound_is_copied_and_its_time_reported(
    tmp_path: Path,
) -> None:
    source, losses = render_tone(tmp_path / "in.mkv", "mp2", chunk=1152), Losses("audio stream 1")
    with av.open(str(source)) as container, av.open(str(tmp_path / "out.mkv"), "w") as result:
        stream = container.streams.audio[0]
        output = CopiedStream(stream, result, Fraction(1), losses)
        given = [each for each in container.demux(stream) if each.size]
        given[10].is_corrupt = True
        found = [each for one in given for each in output.packets(one)]
        assert len(found) == len(given) - 1
    assert losses.texts() == ["audio stream 1: a damaged packet is dropped at 0.23 s"]


def test_the_trial_leaves_nothing_and_touches_no_result(tmp_path: Path) -> None:
    source, target = render_tone(tmp_path / "in.mkv", "ac3"), tmp_path / "out.mp4"
    target.write_bytes(b"kept")
    with av.open(str(source)) as container:
        others = [stream for stream in container.streams if stream.type == "audio"]
        plan = plan_streams(source, others, target, Fraction(1), mute=False)
    assert (plan.converted, plan.dropped) == ([], [])
    assert target.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mp4"]


def test_a_place_without_room_is_blamed_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = render_tone(tmp_path / "in.mkv", "ac3")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trials, "write_all", full)
    with pytest.raises(VideoError, match=r"No space left on device.: choose another place"):
        interpolate_video(source, tmp_path / "out.mp4", model=Averager())


def test_a_sound_whose_header_says_nothing_is_understood_by_its_packets(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv", "ac3")
    losses = Losses("audio stream 1")
    with av.open(str(source)) as container, av.open(str(tmp_path / "out.mkv"), "w") as result:
        stream = container.streams.audio[0]
        wrong = SoundFormat(8000, "s16", "mono", 1)
        output = ConvertedSound(stream, result, Fraction(1), wrong, losses)
        made = [
            each for part in container.demux(stream) if part.size for each in output.packets(part)
        ]
        made += list(output.flush())
        for each in made:
            result.mux(each)
    assert not losses.texts()
    assert abs(len(sound_of_file(tmp_path / "out.mkv")) / 16000 - 1) < 0.2


def sound_of_file(path: Path) -> np.ndarray[Any, Any]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


@pytest.mark.parametrize("encoder", ["aac", "libmp3lame"])
def test_priming_that_delays_a_whole_matroska_file_is_no_problem_at_high_rates(
    tmp_path: Path, encoder: str
) -> None:
    source = render_tone(tmp_path / "in.mp4", encoder)
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager(), fps=240)
    assert not report.problems
    assert abs(tone_begins(tmp_path / "out.mkv") - 0.5) < 0.003


def test_a_sound_whose_codec_parameters_change_is_heard_to_its_end(tmp_path: Path) -> None:
    """One header of MP4 or Matroska cannot describe 48 kHz and 32 kHz."""
    source = tmp_path / "in.ts"
    chunk_lengths = [
        render_sound(tmp_path / f"{rate}.ts", "aac", layout, rate, Fraction(1))
        for rate, layout in ((48000, "stereo"), (32000, "mono"))
    ]
    source.write_bytes(b"".join(piece.read_bytes() for piece in chunk_lengths))
    for suffix, converted in (("mp4", 1), ("mkv", 1), ("ts", 0)):
        target = tmp_path / f"out.{suffix}"
        report = interpolate_video(source, target, model=Averager())
        assert (len(report.converted), report.problems) == (converted, ())
        with av.open(str(target)) as container:
            stream = container.streams.audio[0]
            heard = [
                (frame.samples / frame.sample_rate, float(np.abs(frame.to_ndarray()).mean()))
                for packet in container.demux(stream)
                for frame in decode_sound(stream.codec_context, packet)
            ]
        assert sum(seconds for seconds, _ in heard) > 1.9
        assert heard[-5][1] > 0.05


def test_one_damaged_header_does_not_convert_a_sound(tmp_path: Path) -> None:
    path = render_sound(tmp_path / "in.ts", "aac", "stereo", seconds=Fraction(1))
    headers = SoundHeaders()
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(audio=0) if packet.size]
    for number, packet in enumerate(found):
        data = bytearray(bytes(packet))
        data[2] ^= 4 * (number in (3, 9))  # another sample rate
        damaged = av.Packet(bytes(data))
        damaged.stream = packet.stream
        headers.add(damaged)
    assert len(found) > 20
    assert not headers.changed


@pytest.mark.parametrize("name", ["out.mkv", "out.webm"])
def test_damaged_sound_is_refused_where_the_source_is_read_strictly(
    tmp_path: Path, name: str
) -> None:
    source, target = render_tone(tmp_path / "in.mkv", "flac"), tmp_path / name
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packet = [bytes(each) for each in container.demux(audio=0) if each.size][8]
    place = data.index(packet)
    data[place : place + len(packet)] = bytes(len(packet))
    source.write_bytes(data)
    options: dict[str, Any] = {"model": Averager(), "codec": codec_for(target.suffix[1:])}
    with pytest.raises(SourceError, match="is damaged: audio stream 1"):
        interpolate_video(source, target, strict=True, **options)
    assert not target.exists()
    assert interpolate_video(source, target, resume=True, **options).problems == ()


def test_a_clock_that_jumps_within_the_first_packets_is_no_hour_of_silence_in_the_trial(
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
        assert 0 < trials.write_all(result, output, packets) < 40
