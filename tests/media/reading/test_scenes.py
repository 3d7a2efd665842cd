from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, frames_of, planes, render_frame

from midframe.media.reading.scenes import CutDetector
from midframe.video.pipeline import interpolate_video

FADE = 16
"""Frames of a fade."""


def faded(time: float) -> np.ndarray:
    """A scene that fades into another from the fifth frame on."""
    fraction = min(max((time - 4) / FADE, 0), 1)
    return np.rint(render_frame(0) * (1 - fraction) + render_frame(0, scene=1) * fraction).astype(
        np.uint8
    )


def dark(time: float) -> np.ndarray:
    """A scene that fades in from black."""
    return np.rint(render_frame(0) * min(1, time / FADE)).astype(np.uint8)


def write(path: Path, images: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p"
        for n, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv444p")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def luma(image: np.ndarray) -> np.ndarray:
    return planes(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv444p"))[0]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = float(((one - other) ** 2).mean())
    return 100.0 if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("scene", [faded, dark])
def test_a_fade_is_no_cut_and_is_interpolated(tmp_path: Path, scene) -> None:  # type: ignore[no-untyped-def]
    source = write(tmp_path / "in.mkv", [scene(n) for n in range(FADE + 8)])
    report = interpolate_video(
        source, tmp_path / "out.mkv", model=Averager(), codec="ffv1", factor=4
    )
    assert (report.cuts, report.frames_held) == (0, 3)
    shown = [planes(frame)[0] for frame in frames_of(tmp_path / "out.mkv")]
    interpolated = [(n, frame) for n, frame in enumerate(shown[: 4 * (FADE + 7)]) if n % 4]
    assert min(psnr(frame, luma(scene(n / 4))) for n, frame in interpolated) > 45


def test_frames_adjacent_to_a_cut_are_source_frames(tmp_path: Path) -> None:
    images = [render_frame(n, scene=int(n >= 6)) for n in range(12)]
    source = write(tmp_path / "in.mkv", images)
    interpolate_video(source, tmp_path / "out.mkv", model=Averager(), codec="ffv1", factor=4)
    shown = [planes(frame)[0] for frame in frames_of(tmp_path / "out.mkv")]
    assert all(psnr(frame, shown[20]) == 100 for frame in shown[21:24])
    assert psnr(shown[24], luma(images[6])) > 50


@pytest.mark.parametrize(("threshold", "cuts"), [(0.5, 1), (60, 0), (0, 0)])
def test_the_threshold_determines_which_changes_are_cuts(
    tmp_path: Path, threshold: float, cuts: int
) -> None:
    step = [np.full((64, 96, 3), 100 + 20 * (n >= 4), np.uint8) for n in range(8)]
    source = write(tmp_path / "in.mkv", step)
    assert (
        interpolate_video(
            source, tmp_path / "out.mkv", model=Averager(), cut_threshold=threshold
        ).cuts
        == cuts
    )


def test_cuts_are_detected_without_a_format_in_the_header() -> None:
    """The header of a damaged file may state no format."""
    detector, found = CutDetector(), []
    for number in range(6):
        image = render_frame(number, scene=number // 3)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        found.append(detector.begins_scene(frame))
    assert found == [False, False, False, True, False, False]


def test_cuts_are_found_after_a_change_of_the_frame_size() -> None:
    """As in a recording of several programmes: the filter reads the size of the first frame."""
    small, large = np.full((32, 48, 3), 20, np.uint8), np.full((64, 96, 3), 20, np.uint8)
    other = np.full_like(large, 220)
    other[:32, :48] = 20  # the part that has the size of the first frame
    detector, found = CutDetector(), []
    for number, image in enumerate([small, small, large, large, other, other, small]):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        found.append(detector.begins_scene(frame))
    assert found == [False, False, False, False, True, False, True]


def test_cuts_are_found_after_a_change_of_the_pixel_format() -> None:
    detector, found = CutDetector(), []
    for number in range(8):
        image = render_frame(number, scene=number // 6)
        pixel_format = "yuv422p10le" if 2 <= number < 4 else "yuv420p"
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
        frame.pts, frame.time_base = number, Fraction(1, 25)
        found.append(detector.begins_scene(frame))
    assert found == [False] * 6 + [True, False]
