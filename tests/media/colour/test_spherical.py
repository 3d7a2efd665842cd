import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.video import Averager, frames_of

from midframe.media.colour.conversion import colour_of
from midframe.media.colour.spherical import SphericalMetadata, spherical_metadata_of
from midframe.media.writing.encoders import choose_encoding
from midframe.media.writing.spherical_boxes import boxes_of, hide_apple_boxes, template_of
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]
VR = SphericalMetadata(
    stereo_3d=(1, 0, 0, 0, 0, 0, 1, 0, 1), spherical_mapping=(0, 30 << 16, 0, 0, 0, 0, 0, 0, 0)
)
"""Side by side on a sphere, rotated by 30 degrees."""


@pytest.fixture
def spherical_video(render_video: Render, tmp_path: Path) -> Path:
    """Render a video with the boxes of spherical stereoscopic video."""
    flat, path = render_video(frames=8, sound=False), tmp_path / "vr.mp4"
    picture = frames_of(flat)[0]
    encoding = choose_encoding(
        picture,
        colour_of(picture),
        time_base=Fraction(1, 24000),
        rate=Fraction(24000, 1001),
        sample_aspect_ratio=None,
    )
    template = template_of(encoding, VR)
    with (
        av.open(str(flat)) as old,
        av.open(str(path), "w", container_options={"strict": "unofficial"}) as new,
    ):
        stream = new.add_stream_from_template(template.stream, opaque=True)
        stream.codec_context.extradata = old.streams.video[0].codec_context.extradata
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    hide_apple_boxes(path)
    return path


@pytest.mark.parametrize(
    ("name", "options"), [("out.mp4", {}), ("out.mkv", {}), ("hevc.mp4", {"codec": "hevc"})]
)
def test_spherical_metadata_is_kept(
    spherical_video: Path, tmp_path: Path, name: str, options: dict
) -> None:
    report = interpolate_video(spherical_video, tmp_path / name, model=Averager(), **options)
    found = spherical_metadata_of(frames_of(tmp_path / name)[0])
    assert found
    assert found.stereo_3d and found.stereo_3d[:2] == (1, 0)  # noqa: PT018  # one fact
    assert found.spherical_mapping == VR.spherical_mapping
    assert (report.dropped, report.problems, report.frames_unchanged) == ((), (), 8)


@pytest.mark.parametrize("name", ["%d.png", "out.mov", "out.ts"])
def test_spherical_metadata_that_the_result_does_not_support_is_reported(
    spherical_video: Path, tmp_path: Path, name: str
) -> None:
    report = interpolate_video(spherical_video, tmp_path / name, model=Averager())
    assert [text.partition(" (")[0] for text in report.dropped] == ["stereo 3D", "spherical video"]


def test_boxes_follow_the_specification() -> None:
    boxes = boxes_of(VR)
    assert boxes[:13] == struct.pack(">I4sIB", 13, b"st3d", 0, 2)
    pose = boxes.index(b"prhd")
    assert struct.unpack_from(">3i", boxes, pose + 8) == (30 << 16, 0, 0)
    assert boxes[13:21] == struct.pack(">I4s", len(boxes) - 13, b"sv3d")


def test_unsupported_layouts_are_not_stored() -> None:
    assert VR.can_be_stored
    assert not SphericalMetadata(stereo_3d=(4, 0, 0, 0, 0, 0, 1, 0, 1)).can_be_stored
    assert not SphericalMetadata(spherical_mapping=(5, 0, 0, 0, 0, 0, 0, 0, 0)).can_be_stored


def test_an_ordinary_video_has_no_spherical_metadata(render_video: Render) -> None:
    assert spherical_metadata_of(frames_of(render_video(frames=2, sound=False))[0]) is None
