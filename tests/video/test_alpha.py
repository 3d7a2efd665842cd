"""Videos with alpha."""

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.image_sequences import render_image
from helpers.video import Averager

from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import to_rgb
from midframe.media.reading.reader import VideoReader
from midframe.models.sepconv import SepConv
from midframe.video.pipeline import interpolate_video

ALPHA = {"prores": ("in.mov", "prores_ks", "yuva444p10le"),
"vp9": ("in.webm", "libvpx-vp9", "yuva420p"),
         "ffv1": ("in.mkv", "ffv1", "yuva420p")}  # fmt: skip


def render_with_alpha(path: Path, encoder: str, pixel_format: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, 24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        for n in range(5):
            frame = av.VideoFrame.from_ndarray(render_image(n, alpha=True), format="rgba").reformat(
                format=pixel_format
            )
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ALPHA)
def test_alpha_is_interpolated_with_the_colours(tmp_path: Path, codec: str) -> None:
    name, encoder, pixel_format = ALPHA[codec]
    source, target = (
        render_with_alpha(tmp_path / name, encoder, pixel_format),
        tmp_path / f"out{Path(name).suffix}",
    )
    report = interpolate_video(source, target, model=Averager(), codec=codec, factor=4)
    # FFmpeg decodes ProRes 4444 to 12 bits and encodes 10
    bits = ("bits beyond 10 of each sample (yuva444p10le: ffv1 keeps them)",)
    assert report.dropped == (bits if codec == "prores" else ())
    assert (report.problems, report.frames_out) == ((), 20)
    with VideoReader(target) as reader:
        clear = [
            to_rgb(frame.picture, reader.first_picture()[1])[..., 3] / 1.0
            for frame in reader.read()
        ]
    peak = max(each.max() for each in clear)
    for n, found in enumerate(clear[:17]):
        before, after = (
            render_image(time, alpha=True)[..., 3] / 255 for time in (n // 4, n // 4 + 1)
        )
        assert abs(found / peak - (before + (after - before) * (n % 4) / 4)).mean() < 0.02


def test_vp9_stores_alpha_in_the_only_format_that_players_support(tmp_path: Path) -> None:
    source = render_with_alpha(tmp_path / "in.mov", "prores_ks", "yuva444p10le")
    report = interpolate_video(source, tmp_path / "out.webm", model=Averager())
    assert report.problems == ()
    with av.open(str(tmp_path / "out.webm")) as container:
        assert container.streams.video[0].metadata["alpha_mode"] == "1"


def test_alpha_that_a_codec_does_not_support_is_reported(tmp_path: Path) -> None:
    source = render_with_alpha(tmp_path / "in.mov", "prores_ks", "yuva444p10le")
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.dropped[0] == "alpha (yuv444p10le has none: prores, vp9 and ffv1 can keep it)"


def test_colours_of_transparent_pixels_are_not_mixed_in(tiny_model: SepConv) -> None:
    shown = np.zeros((64, 96, 4), np.uint8)
    shown[..., :3] = (255, 0, 0)
    shown[:, :48] = (0, 128, 0, 255)
    other = shown.copy()
    other[:, 48:, :3] = (0, 0, 255)
    tool = Interpolator(tiny_model, device="cpu", precision="float32")
    interpolated, again = (tool.interpolate(each, each) for each in (shown, other))
    assert interpolated.shape == (64, 96, 4)
    assert np.array_equal(interpolated, again)
