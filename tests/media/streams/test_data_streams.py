"""Data streams."""

from pathlib import Path

import av
from helpers.streams import RATE
from helpers.video import Averager, render_frame

from midframe.video.pipeline import interpolate_video


def test_data_streams_are_described_by_tag_and_content(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mov"), "w") as container:
        video = container.add_stream("mpeg4", RATE)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        video.metadata["timecode"] = "10:00:00:00"
        for index in range(6):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 32, 48), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    data = (tmp_path / "in.mov").read_bytes()
    for tag, meaning in (
        ("fdsc", "GoPro file description"),
        ("gpmd", "GoPro telemetry"),
        ("mebx", "timed metadata"),
    ):
        place = data.rindex(b"tmcd", 0, data.rindex(b"stts"))
        source = tmp_path / f"{tag}.mov"
        source.write_bytes(data[:place] + tag.encode() + data[place + 4 :])
        report = interpolate_video(source, tmp_path / "out.mov", model=Averager(), overwrite=True)
        assert f"data stream 1 ({tag}, {meaning})" in report.dropped
