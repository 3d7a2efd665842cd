"""Formats of sound: channels, layouts, rates and encoders."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from fuzz import render_sound
from helpers.sound import RATE, codec_for, render_tone, tone_begins
from helpers.video import Averager

from midframe.media.streams.sound import mix_note
from midframe.media.streams.sound_format import (
    SoundFormat,
    choose_sound_encoding,
    pan_arguments,
)
from midframe.video.pipeline import interpolate_video

CONTAINERS = ("mp4", "mkv", "mov", "webm")


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize(
    "sound", [("in.avi", "pcm_s16le"), ("in.wav.mkv", "pcm_s16le"), ("in.avi", "pcm_mulaw")]
)
def test_sound_without_a_channel_layout_is_stored_in_every_container(
    tmp_path: Path, suffix: str, sound: tuple[str, str]
) -> None:
    source, target = render_tone(tmp_path / sound[0], sound[1]), tmp_path / f"out.{suffix}"
    report = interpolate_video(source, target, model=Averager(), codec=codec_for(suffix))
    assert not report.problems
    assert report.streams == {"audio": 1}
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.layout.nb_channels == 2
    assert abs(tone_begins(target) - 0.5) < 0.012


@pytest.mark.slow
def test_no_channel_count_layout_or_sample_rate_crashes_the_process(tmp_path: Path) -> None:
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
        sounds = [stream for stream in reader.other_streams if stream.type == "audio"]
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


@pytest.mark.slow
def test_sound_with_a_custom_channel_order_keeps_its_channels(tmp_path: Path) -> None:
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
        "() () ['audio stream 1 (pcm_s16le sound is encoded again)']",
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
def test_the_encoder_and_layout_that_keep_most_channels_are_chosen(
    container: str, layout: str, channels: int, encoder: str, chosen: str
) -> None:
    found = choose_sound_encoding(container, SoundFormat(RATE, "s16", layout, channels))
    assert (found.encoder, found.layout) == (encoder, chosen)


def test_a_smaller_number_of_channels_is_reported() -> None:
    sound = SoundFormat(RATE, "s16", "22.2", 24)
    assert mix_note(sound, choose_sound_encoding("mp4", sound)) == "24 channels mixed to 8"
    stereo = SoundFormat(RATE, "s16", "stereo", 2)
    assert mix_note(stereo, choose_sound_encoding("mp4", stereo)) == ""


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
def test_the_lowest_sufficient_sample_rate_of_the_encoder_is_chosen(
    container: str, rate: int, chosen: int
) -> None:
    assert choose_sound_encoding(container, SoundFormat(rate, "s16", "stereo", 2)).rate == chosen


def test_ambisonic_sound_becomes_stereo_from_two_cardioids() -> None:
    sound = SoundFormat(RATE, "s16", "ambisonic 1", 4)
    assert (
        pan_arguments(sound, choose_sound_encoding("mp4", sound))
        == "stereo|FL=0.5*c0+0.5*c1|FR=0.5*c0-0.5*c1"
    )


@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "encoder"),
    [
        ("matroska", "pcm_bluray", "s32", "pcm_s24le"), ("mov", "pcm_dvd", "s16", "pcm_s16le"),
        ("mp4", "pcm_bluray", "s16", "aac"), ("matroska", "pcm_mulaw", "s16", "aac"),
        ("matroska", "truehd", "s32", "aac"),
    ],
)  # fmt: skip
def test_pcm_stays_pcm_where_the_container_can_hold_it(
    container: str, codec: str, sample_format: str, encoder: str
) -> None:
    sound = SoundFormat(RATE, sample_format, "stereo", 2)
    assert choose_sound_encoding(container, sound, codec).encoder == encoder
