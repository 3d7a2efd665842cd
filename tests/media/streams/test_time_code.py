"""Time codes at other frame rates."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.video import Averager, render_frame

from midframe.media.streams.time_code import TimeCode, scale_time_code, stated_time_code
from midframe.video.pipeline import interpolate_video

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("label", "source", "result", "start", "expected"),
    [
        ("10:00:00:12", 25, 50, "0", "10:00:00:24"),
        ("10:00:00:12", 25, 50, "0.5", "10:00:01:00"),
        ("01:00:59;28", NTSC, NTSC * 2, "0", "01:00:59;56"),
        (
            "01:00:59;28",
            NTSC,
            NTSC * 2,
            "0.066",
            "01:01:00;04",
        ),  # 00 to 03 are skipped, as 00 and 01 are at 30
        ("01:09:59;29", NTSC, NTSC, "0.033", "01:10:00;00"),  # every tenth minute keeps them
        ("23:59:59:24", 25, 25, "0.04", "00:00:00:00"),
        ("01:00:00:10", Fraction(24000, 1001), Fraction(60000, 1001), "0", "01:00:00:25"),
    ],
)
def test_a_time_code_continues_at_the_rate_of_the_result(
    label: str, source: Fraction, result: Fraction, start: str, expected: str
) -> None:
    assert scale_time_code(label, Fraction(source), Fraction(result), Fraction(start)) == expected


@pytest.mark.parametrize(
    ("label", "source", "result"),
    [
        ("nonsense", Fraction(25), Fraction(50)),
        ("10:00:00:25", Fraction(25), Fraction(50)),
        ("10:00:00:00", Fraction(24000, 1001), Fraction(60)),
        ("10:00:00:00", Fraction(25), Fraction(300)),
    ],
)
def test_a_time_code_that_cannot_continue_is_refused(
    label: str, source: Fraction, result: Fraction
) -> None:
    with pytest.raises(ValueError, match=r"time code|same speed"):
        scale_time_code(label, source, result, Fraction(0))


def test_labels_and_numbers_of_frames_agree_over_a_day_of_drop_frame() -> None:
    for frames in (*range(0, 4000), *range(17_980, 18_100), *range(107_890, 107_900)):
        read = TimeCode.parse(str(TimeCode(frames, 30, True)), 30)
        assert read is not None
        assert read.frames == frames


def render(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["timecode"] = "10:00:00:12"
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(render_frame(index, 48, 64), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv"])
def test_the_time_code_is_kept(tmp_path: Path, suffix: str) -> None:
    source, target = render(tmp_path / "in.mov"), tmp_path / f"out.{suffix}"
    report = interpolate_video(source, target, model=Averager())
    assert report.dropped == ()
    with av.open(str(target)) as container:
        assert stated_time_code(container.streams.video[0].metadata) == "10:00:00:24"


def test_a_time_code_that_is_no_longer_valid_is_reported(tmp_path: Path) -> None:
    report = interpolate_video(
        render(tmp_path / "in.mov"), tmp_path / "out.mov", model=Averager(), slow=2
    )
    assert report.dropped == (
        "time code 10:00:00:12 (the result has a variable rate or is slowed down)",
    )
    with av.open(str(tmp_path / "out.mov")) as container:
        assert stated_time_code(container.streams.video[0].metadata, container.metadata) is None
