"""Interlaced frames."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, frames_of, planes, render_frame

from midframe.media.colour.filters import PictureFilter
from midframe.media.reading.interlacing import deinterlace_frames
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


def render_interlaced(path: Path, frames: int = 12) -> Path:
    """Interlaced frames, the lower field first."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", 25, options={"x264-params": "interlaced=1", "crf": "4"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        for n in range(frames):
            woven = render_frame(2 * n + 1)
            woven[1::2] = render_frame(2 * n)[1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv420p")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_interlaced_frames_are_reported_and_deinterlaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = render_interlaced(tmp_path / "in.mkv")
    interpolate_video(source, tmp_path / "woven.mkv", model=Averager(), codec="ffv1")
    assert "in.mkv is interlaced: use --deinterlace for progressive frames" in caplog.text
    caplog.clear()
    report = interpolate_video(
        source, tmp_path / "whole.mkv", model=Averager(), codec="ffv1", deinterlace=True
    )
    assert (report.frames_in, report.frames_out, report.problems, caplog.text) == (12, 24, (), "")
    combs = [comb(frames_of(tmp_path / name)[12]) for name in ("woven.mkv", "whole.mkv")]
    assert combs[1] < combs[0] / 3
    truth = av.VideoFrame.from_ndarray(render_frame(12), format="rgb24").reformat(format="yuv420p")
    assert abs(planes(frames_of(tmp_path / "whole.mkv")[12])[0] - planes(truth)[0]).mean() < 3


def test_frames_that_become_interlaced_are_reported(render_video: Render, tmp_path: Path) -> None:
    progressive = render_video("a.ts", frames=6, rate=Fraction(25), sound=False)
    fields = render_interlaced(tmp_path / "b.ts")
    source = tmp_path / "in.ts"
    source.write_bytes(progressive.read_bytes() + fields.read_bytes())
    target = tmp_path / "out.mkv"
    report = interpolate_video(source, target, model=Averager(), codec="ffv1")
    (warning,) = report.warnings
    assert warning.startswith("frames are interlaced from 0.2")
    again = interpolate_video(
        source, target, model=Averager(), codec="ffv1", deinterlace=True, overwrite=True
    )
    assert again.warnings == ()


def comb(frame: av.VideoFrame) -> float:
    """Return the mean difference of rows from the mean of their neighbours."""
    luma = planes(frame)[0]
    return float(abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean())


def test_progressive_frames_are_not_changed(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=6, sound=False)
    interpolate_video(
        source, tmp_path / "out.mkv", model=Averager(), codec="ffv1", deinterlace=True
    )
    for before, after in zip(frames_of(source), frames_of(tmp_path / "out.mkv")[::2], strict=True):
        assert all(map(np.array_equal, planes(before), planes(after)))


def test_changing_frame_sizes_keep_all_frames_and_their_samples() -> None:
    """As in a recording of several programmes: the filter reads the size of the first frame."""
    as_fields, frames = PictureFilter(("setfield", "tff")), []
    for number, height in enumerate([32] * 3 + [64] * 4 + [48] * 2):
        frame = av.VideoFrame(96, height, "gray")
        frame.planes[0].update(bytes([10 * number]) * frame.planes[0].buffer_size)
        frame.pts, frame.time_base = number * 2, Fraction(1, 50)
        frames.append((as_fields.apply(frame), number * 2, 2))
    shown = list(deinterlace_frames(frames))
    assert [pts for _, pts, _ in shown] == [pts for _, pts, _ in frames]
    assert [picture.pts for picture, _, _ in shown] == [pts for _, pts, _ in frames]
    assert {picture.time_base for picture, _, _ in shown} == {Fraction(1, 50)}
    assert [picture.height for picture, _, _ in shown] == [32] * 3 + [64] * 4 + [48] * 2
    means = [picture.to_ndarray().mean() for picture, _, _ in shown]
    assert means == [10 * number for number in range(9)]
