import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import av
import pytest
from helpers.video import Averager, frames_of
from PIL import Image

from midframe.doctor import describe, examine
from midframe.errors import VideoError
from midframe.media.colour.conversion import Colour, colour_of
from midframe.media.writing.codecs import ENCODERS
from midframe.media.writing.encoder_options import merge_options, playback_warning, quality_options
from midframe.media.writing.encoders import (
    Encoding,
    choose_encoding,
    choose_pixel_format,
    find_encoder,
    stream_tag,
    with_fixed_threads,
)
from midframe.options import QUALITIES, EncodingOptions
from midframe.process import CAP_SYS_NICE, no_real_time_threads
from midframe.video.pipeline import interpolate_video
from midframe.video.watchdog import Watchdog, stall_seconds

Render = Callable[..., Path]


@pytest.mark.parametrize("codec", ENCODERS)
def test_every_listed_codec_encodes(render_video: Render, tmp_path: Path, codec: str) -> None:
    target = tmp_path / "out.mkv"
    report = interpolate_video(
        render_video(frames=3, sound=False), target, model=Averager(), codec=codec
    )
    assert report.problems == ()
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec


@pytest.mark.slow
def test_a_preset_and_options_reach_the_encoder(render_video: Render, tmp_path: Path) -> None:
    source, sizes = render_video(frames=30, size=(120, 160), sound=False), []
    for preset, more in (("ultrafast", {}), ("slow", {}), ("slow", {"x264-params": "keyint=1"})):
        target = tmp_path / "out.mp4"
        options = {"preset": preset, "encoder_options": more, "overwrite": True}
        interpolate_video(source, target, model=Averager(), **options)
        sizes.append(target.stat().st_size)
    assert sizes[1] < sizes[0]
    assert sizes[2] > sizes[1]


def test_prores_has_10_bits_for_any_source(render_video: Render, tmp_path: Path) -> None:
    interpolate_video(
        render_video(frames=3), tmp_path / "out.mov", model=Averager(), codec="prores"
    )
    assert frames_of(tmp_path / "out.mov")[0].format.name == "yuv422p10le"


def test_crf_and_preset_get_the_option_names_of_the_encoder() -> None:
    assert quality_options("libx264", 20, "fast") == {"crf": "20", "preset": "fast"}
    assert quality_options("hevc_nvenc", 24) == {"cq": "24"}
    assert quality_options("ffv1", 20) == {}


def test_a_frame_that_an_encoder_does_not_support_is_refused() -> None:
    picture = av.VideoFrame(95, 63, "yuv420p")
    with pytest.raises(VideoError, match="libsvtav1 cannot encode 95x63"):
        choose_pixel_format(find_encoder("av1"), picture, Colour(5, False, False))


def test_doctor_lists_devices_kernels_and_encoders() -> None:
    facts = describe(examine())
    assert "cpu" in facts["devices"]
    assert facts["CPU kernels"] == "Halide"
    assert facts["encoders"].split(", ") == list(ENCODERS)
    assert "train" in facts["extras"].split(", ")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"crf": 52}, r"--crf is 52: libx264 takes 0 \(best\) to 51"),
        ({"crf": -1, "codec": "hevc"}, "--crf is -1: libx265 takes 0"),
        ({"crf": 0, "codec": "av1"}, r"--crf is 0: libsvtav1 takes 1 \(best\) to 63"),
        ({"crf": 64, "codec": "vp9"}, "libvpx-vp9 takes 0"),
        ({"preset": "quick"}, "libx264 has no preset 'quick': choose from ultrafast, superfast"),
        ({"preset": "slow", "codec": "av1"}, r"choose from 0 \(slow\) to 13 \(fast\)"),
        ({"preset": "slow", "codec": "vp9"}, "libvpx-vp9 has no presets: give its speed"),
        ({"preset": "slow", "codec": "mpeg4"}, "mpeg4 has no presets: drop --preset"),
        (
            {"encoder_options": {"foo": "bar"}},
            "--encoder-option foo=bar: libx264 has no option 'foo'",
        ),
        ({"encoder_options": {"g": "many"}}, r'Unable to parse "g" option value "many"'),
        ({"encoder_options": {"profile": "nosuch"}}, "Error setting profile nosuch"),
        ({"encoder_options": {"x264-params": "keyint=3:kyint=4"}}, "does not accept it .*kyint"),
        (
            {"encoder_options": {"x265-params": "bframes=many"}, "codec": "hevc"},
            "does not accept it .*bframes",
        ),
        (
            {"encoder_options": {"svtav1-params": "look=3"}, "codec": "av1"},
            "does not accept it .*look",
        ),
    ],
)
def test_options_that_an_encoder_does_not_accept_are_refused_before_the_work(
    render_video: Render, tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    source = render_video(frames=3, sound=False)
    for _ in range(2):  # FFmpeg's log drops lines that repeat the one before
        with pytest.raises(VideoError, match=complaint):
            interpolate_video(source, tmp_path / "out.mkv", model=Averager(), **options)
    assert list(tmp_path.iterdir()) == [source]


def test_crf_is_ignored_with_a_warning_by_codecs_without_constant_quality(
    render_video: Render, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = render_video(frames=3, sound=False)
    for codec in ("mpeg4", "ffv1"):
        interpolate_video(source, tmp_path / f"{codec}.mkv", model=Averager(), codec=codec, crf=5)
        assert f"{codec} has no constant quality: --crf is ignored" in caplog.text
    interpolate_video(source, tmp_path / "out.gif", model=Averager(), crf=5)
    assert "out.gif has no constant quality: --crf is ignored" in caplog.text
    caplog.clear()
    interpolate_video(source, tmp_path / "out.mkv", model=Averager(), codec="mpeg4")
    draft = QUALITIES["draft"]["crf"]  # of --quality, which has other effects
    interpolate_video(source, tmp_path / "o.mkv", model=Averager(), codec="mpeg4", crf=draft)
    interpolate_video(source, tmp_path / "o%d.png", model=Averager(), crf=draft)
    assert not caplog.text


def test_lists_of_options_are_joined() -> None:
    own, asked = (
        {"x265-params": "log-level=error", "crf": "18"},
        {"x265-params": "keyint=1", "crf": "20"},
    )
    assert merge_options(own, {}, asked) == {"x265-params": "log-level=error:keyint=1", "crf": "20"}


@pytest.mark.parametrize("codec", ENCODERS)
def test_encoders_print_nothing(
    render_video: Render, tmp_path: Path, capfd: pytest.CaptureFixture[str], codec: str
) -> None:
    source = render_video(frames=3, sound=False)
    capfd.readouterr()
    interpolate_video(source, tmp_path / "out.mkv", model=Averager(), codec=codec)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other priorities")
@pytest.mark.parametrize("codec", ENCODERS)
def test_no_encoder_thread_has_real_time_priority(codec: str) -> None:
    """SVT-AV1 makes all its threads so as root, and where the limit on RTPRIO permits it."""
    picture = av.VideoFrame(64, 64, "yuv420p")
    encoding = choose_encoding(
        picture,
        Colour(5, False, False),
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        options=EncodingOptions(codec),
    )
    encoder = encoding.open_encoder()
    policies = {os.sched_getscheduler(int(each.name)) for each in Path("/proc/self/task").iterdir()}
    assert not policies & {os.SCHED_FIFO, os.SCHED_RR}
    del encoder


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_capabilities_are_restored_after_an_encoder_is_opened() -> None:
    import resource

    def rights() -> tuple[str, tuple[int, int]]:
        status = Path("/proc/thread-self/status").read_text()
        return status.partition("CapEff:")[2].split()[0], resource.getrlimit(resource.RLIMIT_RTPRIO)

    before = rights()
    with no_real_time_threads():
        assert not int(rights()[0], 16) >> CAP_SYS_NICE & 1
        assert rights()[1][0] == 0
    assert rights() == before


class StuckEncoder:
    """Encodes some frames, then never returns."""

    def __init__(self, encoder: Any, frames: int, released: Event) -> None:
        self.encoder, self.left, self.released = encoder, frames, released
        self.extradata = encoder.extradata

    def encode_lazy(self, frame: av.VideoFrame | None) -> Iterator[av.Packet]:
        self.left -= 1
        if self.left < 0:
            self.released.wait()
        yield from self.encoder.encode_lazy(frame)


@pytest.mark.slow
def test_a_stalled_encoder_ends_the_work_and_keeps_finished_segments(
    render_video: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target, released = render_video(frames=150, sound=False), tmp_path / "out.mp4", Event()
    opened, number = Encoding.open_encoder, iter(range(10))

    def stuck(self: Encoding) -> Any:
        encoder = opened(self)
        return StuckEncoder(encoder, 5, released) if next(number) else encoder

    monkeypatch.setattr(Encoding, "open_encoder", stuck)
    monkeypatch.setattr("midframe.video.sinks.segment_encoder.stall_seconds", lambda *_: 3.0)
    monkeypatch.setattr("midframe.video.channel.JOIN_SECONDS", 0.1)
    with pytest.raises(
        VideoError, match=r"libx264 makes no progress: .*; finished segments are kept in .*--resume"
    ):
        interpolate_video(source, target, model=Averager())
    monkeypatch.undo()
    released.set()
    assert interpolate_video(source, target, model=Averager(), resume=True).problems == ()


def test_the_timeout_of_an_encoder_grows_with_the_frame_size() -> None:
    assert 300 < stall_seconds(1280, 720) < stall_seconds(3840, 2160) / 4


def test_time_during_which_the_process_was_suspended_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("midframe.video.watchdog.monotonic", lambda: now[0])
    watchdog = Watchdog(2.5, "stuck")
    with watchdog.step():
        watchdog.check()
        now[0] += 1000
        watchdog.check()
        watchdog.check()
        for _ in range(3):
            now[0] += 0.5
            watchdog.check()
        now[0] += 0.5
        with pytest.raises(VideoError, match="stuck"):
            watchdog.check()
    now[0] += 1000
    watchdog.check()


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("gray16be", "gray16le"), ("yuv420p10be", "yuv420p10le"), ("gbrp10le", "gbrp10le"),
        ("gbrp12be", "gbrp12le"), ("gbrap16le", "gbrap16le"), ("rgb48be", "rgb48le"),
        ("gbrp", "bgr0"), ("rgba", "bgra"),
    ],
)  # fmt: skip
def test_ffv1_keeps_every_bit_of_a_sample(given: str, chosen: str) -> None:
    picture = av.VideoFrame(96, 64, given)
    encoder = av.Codec("ffv1", "w")
    assert choose_pixel_format(encoder, picture, colour_of(picture)) == chosen


@pytest.mark.parametrize(
    ("codec", "given", "chosen"),
    [
        ("libx264", "yuv444p12le", "yuv444p10le"), ("libx264", "yuva444p12le", "yuv444p10le"),
        ("libx264", "yuv422p12le", "yuv422p10le"), ("libx264", "yuyv422", "yuv422p"),
        ("libx264", "nv24", "yuv444p"), ("libx264", "yuv411p", "yuv420p"),
        ("libx264", "rgb24", "yuv420p"), ("libx264", "gray12le", "yuv420p10le"),
        ("libx265", "nv16", "yuv422p"), ("prores_ks", "yuv444p", "yuv444p10le"),
        ("libsvtav1", "yuv444p12le", "yuv420p10le"), ("ffv1", "y210le", "yuv422p10le"),
    ],
)  # fmt: skip
def test_encoders_keep_as_much_chroma_as_they_can(codec: str, given: str, chosen: str) -> None:
    picture = av.VideoFrame(96, 64, given)
    encoder = av.Codec(codec, "w")
    assert choose_pixel_format(encoder, picture, colour_of(picture)) == chosen


def test_hevc_of_a_source_with_alpha_is_opaque(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (64, 48), (200, 20 * n, 0, 255 * (n % 2))) for n in range(4)]
    source = tmp_path / "in.gif"
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=40)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager(), codec="hevc")
    assert report.problems == ()
    assert any("alpha" in text for text in report.dropped)


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_an_encoder_keeps_its_number_of_threads(codec: str) -> None:
    picture = av.VideoFrame(96, 64, "yuv420p")
    encoding = choose_encoding(
        picture,
        colour_of(picture),
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        options=EncodingOptions(codec),
    )
    assert encoding.threads == 0
    fixed = with_fixed_threads(encoding)
    assert fixed.threads > 0
    assert with_fixed_threads(fixed) == fixed
    assert with_fixed_threads(replace(encoding, threads=5)).threads == 5


def test_hevc_of_every_encoder_has_the_tag_hvc1() -> None:
    encoders = {
        name for name in ("hevc_nvenc", "hevc_qsv", "libx265") if name in av.codecs_available
    }
    assert {stream_tag(name) for name in encoders} == {"hvc1"}
    assert stream_tag("libx264") is None


def test_vp9_and_hevc_have_the_warnings_that_apply_to_them() -> None:
    warning = playback_warning("libvpx-vp9", "yuv422p")
    assert warning
    assert warning.startswith("many devices do not play VP9 of 4:2:2: ")
    assert playback_warning("libvpx-vp9", "yuv420p") is None
    assert playback_warning("libx265", "yuv422p10le") is None
    assert playback_warning("libx264", "yuv444p10le") == playback_warning("libx264", "yuv444p")


@pytest.mark.parametrize(
    ("form", "size", "words"),
    [
        ("yuv420p", (64, 96), ""),
        ("yuv422p", (64, 96), "H.264 of 4:2:2"),
        ("bgr0", (63, 95), "H.264 of 4:4:4"),
        ("yuv420p10le", (64, 96), "H.264 of 10 bits"),
    ],
)
def test_h264_profiles_that_few_devices_play_are_reported(
    render_video: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    form: str,
    size: tuple[int, int],
    words: str,
) -> None:
    options = {"codec": "ffv1", "name": "in.mkv", "frames": 2, "sound": False}
    source = render_video(pixel_format=form, size=size, **options)
    interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert words in caplog.text
    assert bool(words) == ("many devices do not play" in caplog.text)
