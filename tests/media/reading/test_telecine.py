"""Telecined video."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import render_frame

from midframe.media.colour.filters import PictureFilter
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.telecine import phase_of, warn_of_telecine

FIELDS = 2, 3
"""Fields of successive film frames."""
PULLDOWN = [n for n in range(4) for _ in range(FIELDS[n % 2])]
"""Film frames of ten successive fields."""


def render_pulldown(path: Path, *, rate: Fraction, telecine: bool, frames: int = 25) -> Path:
    """Render a progressive video whose frames consist of fields of film frames, or of one each."""
    moments = [n for n in range(frames) for _ in range(FIELDS[n % 2] if telecine else 2)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for n in range(frames):
            woven = render_frame(2 * moments[2 * n])
            woven[1::2] = render_frame(2 * moments[2 * n + 1])[1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv420p")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("telecine", "rate", "count"),
    [(True, Fraction(30000, 1001), 1), (False, Fraction(30), 0), (True, Fraction(25), 0)],
)
def test_telecined_frames_are_reported_once(
    tmp_path: Path, telecine: bool, rate: Fraction, count: int
) -> None:
    source = render_pulldown(tmp_path / "in.mkv", rate=rate, telecine=telecine)
    with VideoReader(source) as reader:
        assert len(list(reader.read())) == 25
        found = [
            text for text in reader.warnings if "are telecined (3:2 pulldown) at 0.63 s" in text
        ]
    assert len(found) == count


@pytest.mark.parametrize(("telecine", "count"), [(True, 1), (False, 0)])
def test_telecined_frames_that_are_marked_as_interlaced_are_reported(
    telecine: bool, count: int
) -> None:
    mark = PictureFilter(("setfield", "mode=tff"))
    frames = []
    for n in range(25):
        moments = [n * 2 + field for field in range(2)]
        if telecine:
            moments = [PULLDOWN[moment % 10] + moment // 10 * 4 for moment in moments]
        woven = render_frame(2 * moments[0])
        woven[1::2] = render_frame(2 * moments[1])[1::2]
        frames.append(mark.apply(av.VideoFrame.from_ndarray(woven, format="rgb24")))
    assert frames[0].interlaced_frame
    warnings: list[str] = []
    timed = ((frame, n, 1) for n, frame in enumerate(frames))
    rate = Fraction(30000, 1001)
    assert len(list(warn_of_telecine(timed, warnings, 1 / rate, rate))) == 25
    assert len(warnings) == count


def test_telecine_is_two_successive_combed_frames_of_five() -> None:
    clean, combed = 0.01, 0.05
    for phase in range(5):
        cycle = np.full(5, clean)
        cycle[[phase, (phase + 1) % 5]] = combed
        assert phase_of(list(cycle)) == phase
    assert phase_of([clean] * 5) is None
    assert phase_of([combed, clean, combed, clean, clean]) is None
    assert phase_of([0.2, 0.21, 0.2, 0.2, 0.2]) is None  # a texture
