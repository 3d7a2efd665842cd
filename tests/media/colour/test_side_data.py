import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.video import Averager, frames_of, render_frame

from midframe.media.colour.side_data import (
    CAPTIONS,
    has_dolby_colours,
    lost_metadata,
    side_data_of,
    with_side_data,
    without_side_data,
)
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]
RATE = 25
CAPTIONED = {0: 1, 9: 2, 16: 3}
"""Frames of the video below with captions, and their numbers of triplets."""


def caption_message(triplets: int) -> bytes:
    """A NAL unit with closed captions: user data registered by ITU-T T.35 (ATSC A/53, part 4,
    6.2.3)."""
    data = (
        bytes((0xB5, 0, 0x31))
        + b"GA94"
        + bytes((3, 0x40 | triplets, 0xFF))
        + b"\xfc\x94\x2c" * triplets
        + b"\xff"
    )
    return b"\0\0\0\1\6\4" + bytes((len(data),)) + data + b"\x80"


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """Render a video of 20 frames and insert captions into some of its packets."""
    path = tmp_path / "captioned.ts"
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = (
        96,
        64,
        "yuv420p",
        Fraction(1, RATE),
    )
    encoder.framerate, encoder.options = (
        Fraction(RATE),
        {"bf": "0", "x264-params": "aud=0:repeat-headers=1"},
    )
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream("h264", RATE, width=96, height=64)
        pictures: list[Any] = [
            av.VideoFrame.from_ndarray(render_frame(n), format="rgb24") for n in range(20)
        ]
        for number, picture in enumerate([*pictures, None]):
            if picture is not None:
                picture = picture.reformat(format="yuv420p")
                picture.pts, picture.time_base = number, Fraction(1, RATE)
            for coded in encoder.encode(picture):
                triplets = CAPTIONED.get(coded.pts, 0)
                packet = av.Packet((caption_message(triplets) if triplets else b"") + bytes(coded))
                packet.pts, packet.dts, packet.duration = coded.pts, coded.dts, 1
                packet.time_base, packet.is_keyframe, packet.stream = (
                    Fraction(1, RATE),
                    coded.is_keyframe,
                    stream,
                )
                container.mux(packet)
    return path


def captions_of(path: Path) -> list[tuple[Fraction, int]]:
    """Return the times of captions, in seconds from the first frame, and their triplets."""
    frames = frames_of(path)
    first = frames[0].pts
    found = [(frame, side_data_of(frame).get(CAPTIONS)) for frame in frames]
    return [
        ((frame.pts - first) * frame.time_base, len(data) // 3) for frame, data in found if data
    ]


def test_the_rendered_video_has_captions(captioned: Path) -> None:
    assert captions_of(captioned) == [(Fraction(n, RATE), count) for n, count in CAPTIONED.items()]


@pytest.mark.parametrize("options", [{}, {"codec": "hevc"}, {"vfr": True}, {"pixel": True}])
def test_captions_are_copied_once_at_their_times(
    captioned: Path, tmp_path: Path, options: dict
) -> None:
    if options.pop("pixel", False):  # the encoder takes another pixel format than the source's
        options = {"codec": "h264", "encoder_options": {"profile": "high"}, "fps": "100"}
    report = interpolate_video(captioned, tmp_path / "out.mp4", model=Averager(), **options)
    assert captions_of(tmp_path / "out.mp4") == [
        (Fraction(n, RATE), count) for n, count in CAPTIONED.items()
    ]
    assert (report.captions, report.dropped, report.problems) == (3, (), ())


def test_captions_of_dropped_frames_are_attached_to_the_next_frame(
    captioned: Path, tmp_path: Path
) -> None:
    interpolate_video(captioned, tmp_path / "out.mp4", model=Averager(), fps="30")
    found = captions_of(tmp_path / "out.mp4")
    assert [count for _, count in found] == [1, 2, 3]
    for (time, _), number in zip(found, CAPTIONED, strict=True):
        assert 0 <= time - Fraction(number, RATE) < Fraction(1, 30)


def test_captions_that_the_encoder_does_not_write_are_reported(
    captioned: Path, tmp_path: Path
) -> None:
    report = interpolate_video(captioned, tmp_path / "out.mkv", model=Averager(), codec="ffv1")
    assert [text for text in report.dropped if "closed captions" in text]


def test_side_data_can_be_attached_to_other_frames_and_removed(captioned: Path) -> None:
    donor = frames_of(captioned)[0]
    picture = av.VideoFrame.from_ndarray(render_frame(7), format="rgb24").reformat(
        format="yuv422p10le"
    )
    both = with_side_data(picture, donor)
    assert CAPTIONS in side_data_of(both)
    for ours, theirs in zip(both.planes, picture.planes, strict=True):
        rows = [
            np.frombuffer(bytes(each), np.uint16).reshape(each.height, -1)
            for each in (ours, theirs)
        ]
        assert np.array_equal(*(each[:, : ours.width] for each in rows))
    assert side_data_of(without_side_data(both)) == {}


def test_side_data_is_removed_from_frames_of_alternating_formats() -> None:
    forms = ((32, 48, "yuv420p", 1), (32, 48, "yuv420p", 9), (16, 64, "yuv444p10le", 5))
    frames = []
    for height, width, pixel_format, matrix in forms * 2:
        image = render_frame(len(frames), height, width)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
        frame.colorspace, frame.color_range = matrix, 2
        frame.pts, frame.duration = len(frames), 7
        frame.time_base = Fraction(1, 90 + len(frames))
        frames.append(frame)
    results = [without_side_data(frame) for frame in frames]
    for frame, result in zip(frames, results, strict=True):
        for name in ("width", "height", "pts", "duration", "time_base", "colorspace"):
            assert getattr(result, name) == getattr(frame, name), name
        assert result.format.name == frame.format.name
        assert [bytes(plane) for plane in result.planes] == [bytes(each) for each in frame.planes]


def test_dynamic_metadata_is_reported() -> None:
    picture = av.VideoFrame(16, 16, "yuv420p")
    assert lost_metadata(picture, "") == []
    assert lost_metadata(picture, "Side data:\n DOVI configuration record: profile: 8") == [
        "Dolby Vision metadata"
    ]
    assert "spatial" in lost_metadata(picture, "hevc (Main) (hvc1) (default) (multilayer)")[0]


def write_exif_image(path: Path, orientation: int) -> Path:
    """A JPEG whose EXIF tag is side data that PyAV does not list."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(render_frame(0)).save(path, exif=exif.tobytes())
    return path


def test_side_data_that_pyav_does_not_list_is_skipped(tmp_path: Path) -> None:
    with av.open(str(write_exif_image(tmp_path / "turned.jpg", 6))) as container:
        found = side_data_of(next(container.decode(video=0)))
    assert struct.unpack("<9i", found["DISPLAYMATRIX"])[1] != 0
    assert not any(name.startswith("UNKNOWN") for name in found)


@pytest.mark.parametrize(
    ("profile", "compatible", "own"), [(5, 0, True), (10, 0, True), (8, 1, False), (7, 0, False)]
)
def test_only_some_profiles_of_dolby_vision_have_colours_of_their_own(
    profile: int, compatible: int, own: bool
) -> None:
    record = (
        f"DOVI configuration record: version: 1.0, profile: {profile}, level: 1, rpu flag: 1, "
        f"el flag: 0, bl flag: 1, compatibility id: {compatible}, compression: 0"
    )
    assert has_dolby_colours(record) is own
