"""Telecined video that is not marked as interlaced."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import render_frame

from midframe.media.reading.reader import VideoReader
from midframe.media.reading.telecine import phase_of

FIELDS = 2, 3
"""Fields of successive film frames."""


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


def test_telecine_is_two_successive_combed_frames_of_five() -> None:
    clean, combed = 0.01, 0.05
    for phase in range(5):
        cycle = np.full(5, clean)
        cycle[[phase, (phase + 1) % 5]] = combed
        assert phase_of(list(cycle)) == phase
    assert phase_of([clean] * 5) is None
    assert phase_of([combed, clean, combed, clean, clean]) is None
    assert phase_of([0.2, 0.21, 0.2, 0.2, 0.2]) is None  # a texture
