"""A result rendered in pieces equals the result rendered whole."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.cuts import render_scenes
from helpers.video import Averager, frames_of, planes

from midframe.errors import VideoError
from midframe.media.reading.sources import identity_of
from midframe.options import EncodingOptions, RetimingOptions, SourceOptions, VideoOptions
from midframe.video.pieces import EncoderState, Piece, encoder_state, plan_segments, render_piece
from midframe.video.pipeline import convert_video, render_result
from midframe.video.plan import Extent
from midframe.video.render_job import RenderJob, result_settings
from midframe.video.report import VideoReport
from midframe.video.sinks.animation import AnimationSink
from midframe.video.sinks.protocol import Sink
from midframe.video.sinks.targets import SegmentedTarget, target_for
from midframe.video.sinks.video_file import VideoFileSink, VideoFileTarget

EXACT = EncodingOptions(encoder_options={"x264-params": "mbtree=0"})
"""On processors with AVX-512 two runs of x264 differ with its macroblock tree."""


def convert_in_pieces(source: Path, target: Path, options: VideoOptions) -> VideoReport:
    """Interpolate a video in two pieces."""
    tool, goal = Averager(), target_for(target, options.encoding)
    assert isinstance(goal, SegmentedTarget)

    def run(work: RenderJob, sink: Sink) -> Extent:
        assert isinstance(sink, VideoFileSink | AnimationSink)
        plan = plan_segments(work)
        last = len(plan.source_frames) - 1
        assert last > 0
        state = encoder_state(sink.encoding)
        for segments in (range(last), range(last, last + 1)):
            piece = Piece(segments, state, dict(work.conversion.settings))

            def add(_: int, path: Path) -> None:
                sink.encoder.segments.add_file(path)

            render_piece(source, goal, tool, options, piece, target.parent, add)
        return plan.extent

    return render_result(run, source, goal, tool, options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.mp4", VideoOptions(encoding=EXACT)),
        ("out.mkv", VideoOptions(RetimingOptions(fps="50"), encoding=EncodingOptions("ffv1"))),
        ("out.avi", VideoOptions(RetimingOptions(dedup=True), encoding=EXACT)),
        ("out.mkv", VideoOptions(source=SourceOptions(1, 4), encoding=EXACT)),
        ("out.gif", VideoOptions(RetimingOptions(factor=2))),
    ],
    ids=["h264", "ffv1", "avi", "part", "gif"],
)
def test_a_result_rendered_in_pieces_equals_the_whole_one(
    tmp_path: Path, name: str, options: VideoOptions
) -> None:
    source = render_scenes(tmp_path / "in.mp4", scenes=3, rate=20, size=(32, 48))
    whole, joined = tmp_path / "whole" / name, tmp_path / "joined" / name
    for path in (whole, joined):
        path.parent.mkdir()
    expected = convert_video(source, whole, Averager(), options)
    report = convert_in_pieces(source, joined, options)
    assert report == expected
    assert not report.problems
    for first, second in zip(frames_of(whole), frames_of(joined), strict=True):
        assert (first.pts, first.time_base) == (second.pts, second.time_base)
        assert all(map(np.array_equal, planes(first), planes(second)))
    assert [path.name for path in joined.parent.iterdir()] == [name]


@pytest.mark.parametrize("what", ["encoder", "network"])
def test_a_piece_is_refused_if_the_machine_differs(
    tmp_path: Path, render_video: Callable[..., Path], what: str
) -> None:
    source = render_video(frames=3)
    goal = target_for(tmp_path / "out.mp4", EncodingOptions())
    options = VideoOptions(encoding=goal.options)
    settings = result_settings(identity_of(source), Averager(), options)
    if what == "network":
        settings["network"] = "another"
    piece = Piece(range(1), EncoderState(2, b"other"), settings)
    complaint = {"encoder": "libx264 has another version here", "network": "network differs"}[what]
    assert isinstance(goal, VideoFileTarget)
    with pytest.raises(VideoError, match=complaint):
        render_piece(source, goal, Averager(), options, piece, tmp_path, lambda *_: None)
