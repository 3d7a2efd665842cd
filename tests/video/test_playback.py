import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.streams import render_rich
from helpers.video import Averager, render_frame

from midframe.media.reading.thumbnails import TimedThumbnail, make_thumbnail
from midframe.video.pipeline import interpolate_video
from midframe.video.playback import Playback, StreamSpan, decode_playback
from midframe.video.playback_check import Expected, verify_playback
from midframe.video.report import VideoReport

Render = Callable[..., Path]
RATE = Fraction(50)


def test_shifting_a_playback_keeps_packet_durations() -> None:
    sound = StreamSpan(Fraction(1), Fraction(3), packet=Fraction(1, 40))
    found = Playback(end=Fraction(4), sounds=[sound])
    found.move(Fraction(-1))
    assert found.sounds == [StreamSpan(Fraction(0), Fraction(2), packet=Fraction(1, 40))]
    assert found.end == 3


def write_video(
    path: Path, pictures: Sequence[float], times: Sequence[int], tick: Fraction = 1 / RATE
) -> Path:
    """Render a video of frames that show some moments, at times in ticks."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", RATE, options={"bf": "0", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = tick
        for moment, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(render_frame(moment * 4), format="rgb24")
            frame.pts, frame.time_base = time, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def expectation(**changes: Any) -> Expected:
    """Return what is expected of a result at 50 frames per second of ten frames at 25."""
    pictures = [av.VideoFrame.from_ndarray(render_frame(n * 4), format="rgb24") for n in range(10)]
    thumbnails = [
        TimedThumbnail(Fraction(n, 25), make_thumbnail(picture))
        for n, picture in enumerate(pictures)
    ]
    expected = Expected(
        thumbnails, Fraction(10, 25), (), {}, Fraction(1), 1 / RATE, stretched=False
    )
    return replace(expected, **changes)


def verified(path: Path, frames_out: int = 20, **changes: Any) -> VideoReport:
    report = VideoReport(
        frames_in=10, frames_kept=10, frames_interpolated=frames_out - 11, frames_held=1
    )
    verify_playback(path, report, expectation(**changes))
    return report


def test_a_correct_result_has_no_problems_and_shows_every_source_frame(tmp_path: Path) -> None:
    moments = [min(n / 2, 9) for n in range(20)]
    report = verified(write_video(tmp_path / "whole.mp4", moments, range(20)))
    assert (report.problems, report.frames_unchanged, report.length_out) == ((), 10, Fraction(2, 5))


@pytest.mark.parametrize(
    ("moments", "times", "complaint"),
    [
        ([n / 2 for n in range(19)], range(19), "19 frames are decoded instead of 20"),
        ([min(n / 2, 9) for n in range(20)], range(50, 70), "begins at 1.000 s instead of 0.000 s"),
        (
            [min(n / 2, 9) for n in range(20)],
            [2 * n for n in range(20)],
            "lasts 0.7.. s instead of 0.400 s",
        ),
        (
            [9 - min(n / 2, 9) for n in range(20)],
            range(20),
            "source frames are found .* instead of 10",
        ),
        ([100.0] * 20, range(20), "[01] source frames are found in the result instead of 10"),
    ],
    ids=["a frame is missing", "late", "too long", "in another order", "another video"],
)
def test_a_result_that_differs_from_its_source_is_reported(
    tmp_path: Path, moments: list[float], times: Sequence[int], complaint: str
) -> None:
    video = write_video(tmp_path / "wrong.mkv", moments, times)
    report = verified(video)
    assert any(re.search(complaint, problem) for problem in report.problems), report.problems


def test_the_start_of_an_edit_list_is_applied_as_players_do(tmp_path: Path) -> None:
    late = write_video(tmp_path / "late.mp4", [0, 0.5, 1], [50, 51, 52])
    assert decode_playback(late, 1 / RATE).begin == 1


def test_shifted_sound_and_missing_streams_are_reported(
    render_video: Render, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    report = interpolate_video(render_video(frames=24), target, model=Averager())
    assert (report.problems, report.frames_unchanged) == ((), 24)
    found = decode_playback(target, Fraction(1001, 48000))
    source = Expected(
        [TimedThumbnail(each.time, each.thumbnail) for each in found.thumbnails], found.end,
        (StreamSpan(Fraction(0), Fraction(3)),),
        {"audio": 2}, Fraction(1), Fraction(1001, 48000), stretched=False,
    )  # fmt: skip
    verify_playback(target, report, source)
    assert any("sound 1 ends" in problem for problem in report.problems)
    assert any(
        "1 audio beside the video stream instead of 2 audio" in problem
        for problem in report.problems
    )


def test_sound_of_packets_without_durations_ends_within_its_last_packet(tmp_path: Path) -> None:
    source = render_rich(tmp_path / "in.mkv", sound="alac")
    sound, _ = decode_playback(source, 1 / RATE).sounds
    assert abs(sound.packet - Fraction(4096, 48000)) < Fraction(1, 500)


def test_thumbnails_distinguish_frames_but_not_their_encodings() -> None:
    first, second = (
        make_thumbnail(av.VideoFrame.from_ndarray(render_frame(4.0 * n), format="rgb24"))
        for n in range(2)
    )
    assert np.abs(first.astype(int) - second).mean() > 10


def test_colours_of_transparent_pixels_are_not_compared() -> None:
    image = np.dstack([render_frame(0), np.zeros((64, 96), np.uint8)])
    other = image.copy()
    other[..., :3] = 255
    images = (av.VideoFrame.from_ndarray(each, format="rgba") for each in (image, other))
    first, second = map(make_thumbnail, images)
    assert np.array_equal(first, second)


def test_unsupported_metadata_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        container.metadata.update({"TITLE": "A film", "LENS": "50 mm"})
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    lost = "metadata LENS (.mp4 files cannot hold it)"
    for name, dropped in (("out.mkv", ()), ("out.mp4", (lost,))):
        report = interpolate_video(source, tmp_path / name, model=Averager())
        assert report.dropped == dropped


@pytest.mark.parametrize("name", ["out.mov", "out.mp4", "out.mkv"])
def test_location_and_make_of_a_phone_are_kept(tmp_path: Path, name: str) -> None:
    metadata = {"com.apple.quicktime.location.ISO6709": "+48.1+011.6/", "title": "A film"}
    source, target = tmp_path / "in.mov", tmp_path / name
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(source), "w", container_options=options) as container:
        container.metadata.update(metadata)
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert interpolate_video(source, target, model=Averager()).dropped == ()
    with av.open(str(target)) as container:
        found = {name.lower(): value for name, value in container.metadata.items()}
    assert found.items() >= {name.lower(): value for name, value in metadata.items()}.items()
    interpolate_video(source, target, model=Averager(), overwrite=True)
