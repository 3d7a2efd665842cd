"""What results do not store of colours is reported."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, render_frame

from midframe.options import VideoOptions
from midframe.video.pipeline import interpolate_source, interpolate_video
from midframe.video.report import VideoReport
from midframe.video.sinks.lost_colours import lost_samples
from midframe.video.sinks.pipe import PipeTarget

BT2020, PQ = 9, 16


def write(path: Path, pixel_format: str, *, hdr: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        if hdr:
            context = stream.codec_context
            context.color_primaries = context.colorspace = BT2020
            context.color_trc, context.color_range = PQ, 1
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {}}]
        )
        for number in range(3):
            image = render_frame(number)
            if pixel_format.startswith(("yuva", "rgba")):
                alpha = np.full_like(image[..., :1], 100)
                frame = av.VideoFrame.from_ndarray(np.dstack((image, alpha)), format="rgba")
            else:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def to_pipe(source: Path, folder: Path) -> VideoReport:
    file = os.open(folder / "out.y4m", os.O_WRONLY | os.O_CREAT)
    try:
        options = VideoOptions()
        return interpolate_source(
            source, PipeTarget(Path("-"), options.encoding, file), Averager(), options
        )
    finally:
        os.close(file)


@pytest.mark.parametrize(
    ("source", "result", "lost"),
    [
        ("yuv444p12le", "yuv420p10le", ["bits beyond 10", "chroma resolution"]),
        ("yuv422p10le", "yuv420p10le", ["chroma resolution"]),
        ("yuv440p", "yuv420p", ["chroma resolution"]),
        ("yuva444p16le", "yuva444p10le", ["bits beyond 10"]),
        ("gbrp16le", "yuv420p10le", ["bits beyond 10"]),
        ("gray16le", "yuv420p10le", ["bits beyond 10"]),
        ("yuv420p10le", "yuv420p", ["bits beyond 8"]),
        ("yuv411p", "yuv420p", []),  # as many samples of chroma
        ("yuv410p", "yuv420p", []),
        ("yuv422p", "yuv444p10le", []),
        ("nv12", "yuv420p", []),
        ("p010le", "yuv420p10le", []),
        ("rgb24", "yuv420p", []),
        ("pal8", "yuv420p", []),
        ("yuv444p", "bgr0", []),
    ],
)
def test_lost_bits_and_chroma_are_listed(source: str, result: str, lost: list[str]) -> None:
    found = lost_samples(av.VideoFormat(source), result)
    assert [text.partition(" (")[0].removesuffix(" of each sample") for text in found] == lost


def test_a_video_with_fewer_bits_and_less_chroma_than_its_source_is_reported(
    tmp_path: Path,
) -> None:
    source = write(tmp_path / "in.mkv", "yuv444p12le")
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager(), codec="av1")
    assert report.dropped == (
        "bits beyond 10 of each sample (yuv420p10le: ffv1 keeps them)",
        "chroma resolution (yuv420p10le has less than yuv444p12le: ffv1 keeps it)",
    )
    kept = interpolate_video(source, tmp_path / "kept.mkv", model=Averager(), codec="ffv1")
    assert kept.dropped == ()


@pytest.mark.parametrize("name", ["out.gif", "out.apng", "out/%d.png", "-"])
def test_images_and_pipes_report_hdr_and_chapters(name: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", "yuv420p10le", hdr=True)
    if name == "-":
        report = to_pipe(source, tmp_path)
    else:
        report = interpolate_video(source, tmp_path / name, model=Averager())
    text = "; ".join(report.dropped)
    assert "HDR transfer function (" in text
    assert "chapters (" in text


def test_a_pipe_reports_alpha(tmp_path: Path) -> None:
    report = to_pipe(write(tmp_path / "in.mkv", "yuva420p"), tmp_path)
    assert report.dropped == ("chapters (y4m)", "alpha (y4m)")
