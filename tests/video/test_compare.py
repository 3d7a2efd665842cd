from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, frames_of

from midframe.errors import VideoError
from midframe.media.reading.source import TimeRange
from midframe.video.compare import compare_video
from midframe.video.segments import lock_target
from midframe.video.sinks.comparison import GAP

Render = Callable[..., Path]


def halves(frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the left and the right frame of a comparison of 64x96, without the labels."""
    sheet = frame.to_ndarray(format="rgb24").astype(int)
    return sheet[16:80, :96], sheet[16:80, 96 + GAP :]


def test_the_left_side_holds_source_frames_while_the_right_is_interpolated(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=4)
    assert compare_video(source, tmp_path / "c.mp4", model=Averager(), crf=4) == 4
    shown = frames_of(tmp_path / "c.mp4")
    interval = Fraction(1001, 24000) * 4 / 2
    assert [frame.pts * frame.time_base for frame in shown] == [interval * n for n in range(8)]
    assert (shown[0].width, shown[0].height) == (2 * 96 + GAP, 64 + 16)
    originals = [frame.to_ndarray(format="rgb24").astype(int) for frame in frames_of(source)]
    for index, frame in enumerate(shown[:6]):
        left, right = halves(frame)
        between = (
            originals[index // 2]
            if index % 2 == 0
            else (originals[index // 2] + originals[index // 2 + 1]) / 2
        )
        assert abs(left - originals[index // 2]).mean() < 4
        assert abs(right - between).mean() < 4
    assert abs(halves(shown[1])[0] - halves(shown[1])[1]).mean() > 5


def test_both_sides_have_labels(render_video: Render, tmp_path: Path) -> None:
    compare_video(render_video(frames=2), tmp_path / "c.mp4", model=Averager())
    strip = frames_of(tmp_path / "c.mp4")[0].to_ndarray(format="gray")[:16]
    assert strip[:, :96].max() > 150
    assert strip[:, 96 + GAP :].max() > 150


def test_a_time_range_is_compared_from_start_to_end(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=12, rate=Fraction(10))
    options = {"model": Averager(), "factor": 4, "slower": 1}
    assert compare_video(source, tmp_path / "c.mp4", time_range=TimeRange(0.3, 0.6), **options) == 3
    shown = frames_of(tmp_path / "c.mp4")
    assert [frame.pts * frame.time_base for frame in shown] == [Fraction(n, 40) for n in range(12)]
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert not container.streams.audio


def test_no_frame_is_interpolated_across_a_cut(render_video: Render, tmp_path: Path) -> None:
    compare_video(render_video(frames=6, cut_at=3), tmp_path / "c.mp4", model=Averager(), crf=4)
    left, right = halves(frames_of(tmp_path / "c.mp4")[5])
    assert abs(left - right).mean() < 2


def test_a_time_range_without_a_frame_is_reported(render_video: Render, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"no frame from 0\.05 to 0\.06 s: .* a later --end"):
        compare_video(
            render_video(frames=3),
            tmp_path / "c.mp4",
            time_range=TimeRange(0.05, 0.06),
            model=Averager(),
        )


@pytest.mark.parametrize("time_range", [(-1.0, None), (2.0, 1.0), (1.0, 1.0)])
def test_an_invalid_time_range_raises_a_value_error(time_range: tuple) -> None:
    with pytest.raises(ValueError, match=r"end is .* later than|start is -1: 0 or more"):
        TimeRange(*time_range)


def test_a_time_range_after_the_video_leaves_no_files(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=3)
    with pytest.raises(VideoError, match="has no frame from 60 s on: choose an earlier --start"):
        compare_video(source, tmp_path / "c.mp4", time_range=TimeRange(60), model=Averager())
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_factors_below_1_raise_a_value_error(render_video: Render, tmp_path: Path) -> None:
    for wrong in ({"factor": 0}, {"slower": 0}):
        with pytest.raises(ValueError, match="1 or more is needed"):
            compare_video(render_video(frames=2), tmp_path / "c.mp4", model=Averager(), **wrong)


def test_a_locked_result_is_refused(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=2), tmp_path / "c.mp4"
    lock = lock_target(target)
    with pytest.raises(VideoError, match="is being worked on by another process"):
        compare_video(source, target, model=Averager())
    lock.release()
    compare_video(source, target, model=Averager())
    assert sorted(tmp_path.iterdir()) == [target, source]


def test_damage_of_the_source_is_logged(
    render_video: Render, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = render_video("in.mkv", frames=60, sound=False)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 7 // 10])
    compare_video(source, tmp_path / "c.mp4", model=Averager())
    assert "in.mkv: damaged: the video stream ends" in caplog.text


def test_a_source_that_changes_during_the_work_is_reported(
    render_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = render_video(frames=5)

    def grow(*_: object) -> None:
        with source.open("ab") as file:
            file.write(b"more")

    compare_video(source, tmp_path / "out.mp4", model=Averager(), progress=grow)
    assert "changed while it was read" in caplog.text
