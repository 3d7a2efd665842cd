"""Whether a source has transparent pixels."""

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.image_sequences import animation, folder_of, rendered
from helpers.video import Averager, render_frame

from midframe.media.reading.opacity import lost_alpha
from midframe.media.reading.reader import VideoReader
from midframe.video.pipeline import interpolate_video


@pytest.mark.parametrize("opaque", [True, False])
@pytest.mark.parametrize("name", ["in.gif", "in.apng", "in.webp", "frames"])
def test_alpha_is_reported_as_lost_only_if_a_pixel_is_transparent(
    tmp_path: Path, name: str, opaque: bool
) -> None:
    frames = [np.dstack([image, np.full((64, 96), 255, np.uint8)]) for image in rendered(4)]
    if not opaque:
        frames[-1][:20, :20, 3] = 0
    if name == "frames":
        source = folder_of(tmp_path / name, frames)
    else:
        kinds = {
            "in.apng": {"format": "PNG"},
            "in.webp": {"lossless": True},
            "in.gif": {"disposal": 2},
        }
        options: dict[str, object] = kinds[name]
        source = animation(tmp_path / name, frames, duration=100, **options)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    lost = () if opaque else ("alpha (yuv420p has none: prores, vp9 and ffv1 can keep it)",)
    assert (report.dropped, report.problems) == (lost, ())


def test_alpha_of_frames_that_were_not_examined_is_reported_as_possible(tmp_path: Path) -> None:
    path = tmp_path / "in.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", 24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuva444p10le"
        for _ in range(30):
            opaque = np.dstack([render_frame(0), np.full((64, 96), 255, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(opaque, format="rgba")))
        container.mux(stream.encode(None))
    with VideoReader(path) as reader:
        assert lost_alpha(reader) == "alpha, if frames after the first 25 have it"
