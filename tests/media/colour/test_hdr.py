from pathlib import Path

import av
import pytest
from helpers.video import Averager, frames_of, render_frame

from midframe.media.colour.hdr import HdrMetadata, hdr_metadata_of, hdr_metadata_options
from midframe.video.pipeline import interpolate_video

DISPLAY = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000.0)
"""Display P3, D65, 0.0001 to 1000 candelas."""
METADATA = HdrMetadata(DISPLAY, (1000, 400))
BT2020, PQ, HLG, LIMITED = 9, 16, 18, 1


def render_hdr(path: Path, transfer: int, metadata: HdrMetadata) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265",
            24,
            options=hdr_metadata_options("libx265", metadata) | {"preset": "ultrafast"},
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = (
            BT2020,
            transfer,
            BT2020,
            LIMITED,
        )
        for index in range(3):
            shown = av.VideoFrame.from_ndarray(render_frame(index), format="rgb24").reformat(
                format="yuv420p10le"
            )
            shown.pts = index
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["hevc", "h264", "av1"])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_hdr10_metadata_is_kept(tmp_path: Path, codec: str, name: str) -> None:
    source = render_hdr(tmp_path / "in.mkv", PQ, METADATA)
    interpolate_video(source, tmp_path / name, model=Averager(), codec=codec)
    for frame in frames_of(source)[:1] + frames_of(tmp_path / name)[:1]:
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (BT2020, PQ, BT2020)
        assert max(part.bits for part in frame.format.components) == 10
        found = hdr_metadata_of(frame)
        assert found.content_light_level == METADATA.content_light_level
        assert found.mastering_display == pytest.approx(DISPLAY, abs=2e-4)


def test_hdr10_metadata_that_an_encoder_cannot_write_is_reported(tmp_path: Path) -> None:
    source = render_hdr(tmp_path / "in.mkv", PQ, METADATA)
    report = interpolate_video(source, tmp_path / "out.mov", model=Averager(), codec="prores")
    assert report.dropped == ("HDR10 metadata (only x264, x265 and SVT-AV1 write it)",)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.dropped == ()


def test_hlg_keeps_its_tags_without_mastering_display_metadata(tmp_path: Path) -> None:
    source = render_hdr(tmp_path / "in.mp4", HLG, HdrMetadata(None, None))
    interpolate_video(source, tmp_path / "out.mp4", model=Averager(), codec="hevc")
    frame = frames_of(tmp_path / "out.mp4")[1]
    assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (BT2020, HLG, BT2020)
    assert hdr_metadata_of(frame) == HdrMetadata(None, None)


def test_encoders_without_hdr_metadata_get_no_options() -> None:
    assert hdr_metadata_options("ffv1", METADATA) == {}
    assert hdr_metadata_options("libx265", HdrMetadata(None, None)) == {}
