from collections.abc import Callable
from pathlib import Path

import av
import pytest
from test_video import Averager, frames_of

from midframe.doctor import examine
from midframe.errors import VideoError
from midframe.video.colour import Colour
from midframe.video.encoders import ENCODERS, choose_pixel_format, find_encoder, quality_options
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


@pytest.mark.parametrize("codec", ENCODERS)
def test_every_codec_of_the_list_encodes(render_video: Render, tmp_path: Path, codec: str) -> None:
    target = tmp_path / "out.mkv"
    report = interpolate_video(render_video(frames=3, sound=False), target, model=Averager(), codec=codec)
    assert report.problems == ()
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec


def test_a_preset_and_options_reach_the_encoder(render_video: Render, tmp_path: Path) -> None:
    source, sizes = render_video(frames=30, size=(120, 160), sound=False), []
    for preset, more in (("ultrafast", {}), ("slow", {}), ("slow", {"x264-params": "keyint=1"})):
        target = tmp_path / "out.mp4"
        options = {"preset": preset, "encoder_options": more, "overwrite": True}
        interpolate_video(source, target, model=Averager(), **options)
        sizes.append(target.stat().st_size)
    assert sizes[1] < sizes[0]
    assert sizes[2] > sizes[1]


def test_prores_takes_ten_bits_of_any_source(render_video: Render, tmp_path: Path) -> None:
    interpolate_video(render_video(frames=3), tmp_path / "out.mov", model=Averager(), codec="prores")
    assert frames_of(tmp_path / "out.mov")[0].format.name == "yuv422p10le"


def test_quality_has_the_name_that_the_encoder_knows() -> None:
    assert quality_options("libx264", 20, "fast") == {"crf": "20", "preset": "fast"}
    assert quality_options("hevc_nvenc", 24) == {"cq": "24"}
    assert quality_options("ffv1", 20) == {}


def test_a_picture_that_an_encoder_cannot_take_is_refused() -> None:
    picture = av.VideoFrame(95, 63, "yuv420p")
    with pytest.raises(VideoError, match="libsvtav1 cannot encode 95x63"):
        choose_pixel_format(find_encoder("av1"), picture, Colour(5, False, False))


def test_the_doctor_tells_of_devices_kernels_and_encoders() -> None:
    facts = examine()
    assert "cpu" in facts["devices"]
    assert facts["CPU kernels"] == "Halide"
    assert facts["encoders"].split(", ") == list(ENCODERS)
    assert "train is there" in facts["extras"]
