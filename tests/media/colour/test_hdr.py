from pathlib import Path

import av
import pytest
from helpers.video import Averager, frames_of, render_frame

from midframe.media.colour.hdr import Mastering, mastering_of, mastering_options
from midframe.video.pipeline import interpolate_video

DISPLAY = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000.0)
"""Display P3, D65, 0.0001 to 1000 candelas."""
MASTERING = Mastering(DISPLAY, (1000, 400))
BT2020, PQ, HLG, LIMITED = 9, 16, 18, 1


def render_hdr(path: Path, transfer: int, mastering: Mastering) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265", 24, options=mastering_options("libx265", mastering) | {"preset": "ultrafast"}
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
def test_hdr10_stays_hdr10(tmp_path: Path, codec: str, name: str) -> None:
    source = render_hdr(tmp_path / "in.mkv", PQ, MASTERING)
    interpolate_video(source, tmp_path / name, model=Averager(), codec=codec)
    for frame in frames_of(source)[:1] + frames_of(tmp_path / name)[:1]:
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (BT2020, PQ, BT2020)
        assert max(part.bits for part in frame.format.components) == 10
        found = mastering_of(frame)
        assert found.light == MASTERING.light
        assert found.display == pytest.approx(DISPLAY, abs=2e-4)


def test_hlg_keeps_its_tags_and_gets_no_display(tmp_path: Path) -> None:
    source = render_hdr(tmp_path / "in.mp4", HLG, Mastering(None, None))
    interpolate_video(source, tmp_path / "out.mp4", model=Averager(), codec="hevc")
    frame = frames_of(tmp_path / "out.mp4")[1]
    assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (BT2020, HLG, BT2020)
    assert mastering_of(frame) == Mastering(None, None)


def test_other_encoders_get_no_options() -> None:
    assert mastering_options("ffv1", MASTERING) == {}
    assert mastering_options("libx265", Mastering(None, None)) == {}
