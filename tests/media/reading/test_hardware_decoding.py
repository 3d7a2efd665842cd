"""Decoding on a device. Without a GPU the processor decodes instead: with the same settings of
PyAV, frames have the formats that GPUs output."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.video import render_frame

from midframe.errors import OptionError, SourceError
from midframe.media.reading import frame_decoder, hardware_decoding, reader
from midframe.media.reading.hardware_decoding import (
    PLANAR_FORMATS,
    PlanarConverter,
    check_device,
    decodes_exactly,
    supported_devices,
    working_devices,
)
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.sources import open_source
from midframe.options import SourceOptions

SEMI_PLANAR = {planar: name for name, planar in PLANAR_FORMATS.items()}


def planes(frame: av.VideoFrame) -> list[bytes]:
    bits = max(part.bits for part in frame.format.components)
    return [hardware_decoding.plane_samples(plane, bits).tobytes() for plane in frame.planes]


@pytest.mark.parametrize(("name", "planar"), PLANAR_FORMATS.items())
def test_frames_of_a_gpu_become_planar_with_the_same_samples(name: str, planar: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (34, 46, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=planar)
    frame.pts, frame.time_base, frame.duration = 7, Fraction(1, 25), 2
    returned = PlanarConverter().convert(frame.reformat(format=name))
    assert returned.format.name == planar
    assert planes(returned) == planes(frame)


def test_the_time_of_a_converted_frame_is_kept() -> None:
    frame = av.VideoFrame(32, 16, "nv12")
    frame.pts, frame.time_base, frame.duration = 7, Fraction(1, 25), 2
    returned = PlanarConverter().convert(frame)
    assert (returned.pts, returned.time_base, returned.duration) == (7, Fraction(1, 25), 2)


def test_a_planar_frame_is_not_converted() -> None:
    frame = av.VideoFrame(32, 16, "yuv420p")
    assert PlanarConverter().convert(frame) is frame


def test_an_unknown_device_is_refused_with_the_supported_ones() -> None:
    with pytest.raises(OptionError, match="hwaccel is 'foo': this FFmpeg supports "):
        check_device("foo")


def test_a_missing_device_is_refused() -> None:
    missing = set(supported_devices()) - set(working_devices())
    if not missing:
        pytest.skip("all devices work here")
    with pytest.raises(OptionError, match=r"is not available here .*drop hwaccel"):
        check_device(missing.pop())


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the processor decode instead of a GPU, in semi-planar formats."""

    class Decoder:
        is_hwaccel = True

        def __init__(self, context: Any, brightness: int) -> None:
            self.context = context
            self.brightness = brightness

        def __getattr__(self, name: str) -> Any:
            return getattr(self.context, name)

        def decode(self, packet: Any) -> Iterator[av.VideoFrame]:
            for frame in self.context.decode(packet):
                name = SEMI_PLANAR.get(frame.format.name)
                if self.brightness:
                    luma = np.frombuffer(frame.planes[0], np.uint8)
                    frame.planes[0].update((luma + self.brightness).tobytes())
                yield frame.reformat(format=name) if name else frame

    def install(brightness: int = 0) -> None:
        decoder_of = hardware_decoding.decoder_of

        def decoder(stream: Any, hwaccel: Any = None) -> Any:
            own = decoder_of(stream)
            return Decoder(own, brightness) if hwaccel == "settings" else own

        def opened(path: Path, *, hwaccel: Any = None) -> Any:
            assert hwaccel in (None, "settings")
            return open_video(path)

        open_video = reader.open_video
        for module in (hardware_decoding, frame_decoder, reader):
            for name, value in (
                ("accelerator", lambda *_, **__: "settings"),
                ("check_device", lambda _: None),
                ("decoder_of", decoder),
                ("open_video", opened),
            ):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, value)

    return install


def read(path: Path, hwaccel: str | None) -> tuple[list[tuple[Any, ...]], list[str]]:
    with VideoReader(path, hwaccel=hwaccel) as source:
        first, _ = source.first_picture()
        frames = [first, *(frame.picture for frame in source.read())]
        found = [(each.pts, each.format.name, *planes(each)) for each in frames]
        return found, source.warnings


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p"])
def test_a_gpu_decodes_the_same_frames_as_the_processor(
    render_video: Callable[..., Path], fake_gpu: Callable[..., None], pixel_format: str
) -> None:
    path = render_video(pixel_format=pixel_format, frames=6)
    expected, _ = read(path, None)
    fake_gpu()
    decoded, warnings = read(path, "cuda")
    assert decoded == expected
    assert not warnings


def test_a_gpu_that_decodes_other_samples_is_not_used_with_a_warning(
    render_video: Callable[..., Path], fake_gpu: Callable[..., None]
) -> None:
    path = render_video(frames=6)
    expected, _ = read(path, None)
    fake_gpu(brightness=1)
    decoded, warnings = read(path, "cuda")
    assert decoded == expected
    assert warnings == ["the processor decodes the video: cuda does not support it exactly"]


def test_a_decoder_without_device_support_does_not_decode_exactly(
    render_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = render_video(frames=2, codec="ffv1", name="in.mkv", sound=False)
    without_config = hardware_decoding.HWAccel("vaapi")
    monkeypatch.setattr(hardware_decoding, "accelerator", lambda *_, **__: without_config)
    assert not decodes_exactly(path, "vaapi")


def test_images_and_pipes_with_a_device_are_refused(tmp_path: Path) -> None:
    from midframe.media.pictures.images import write_image

    write_image(tmp_path / "1.png", render_frame(0, 16, 16))
    for source in (tmp_path, Path("-")):
        with pytest.raises(OptionError, match="hwaccel is for video files"):
            open_source(source, SourceOptions(hwaccel="cuda"))


def test_a_missing_file_is_reported_before_the_device_is_checked(
    tmp_path: Path, fake_gpu: Callable[..., None]
) -> None:
    fake_gpu()
    with pytest.raises(SourceError, match="does not exist"):
        VideoReader(tmp_path / "none.mp4", hwaccel="cuda")
