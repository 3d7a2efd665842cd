"""Detection of telecined frames.

Film of 24 frames per second becomes video of 30 by 3:2 pulldown: of five frames, two neighbours
consist of fields of two film frames. Where that was encoded as progressive, frames that are
interpolated from them are combed; where it is marked as interlaced and is deinterlaced, each fifth
frame hardly moves. In real interlaced video, no frames are combed more than others.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import Interpolation

from midframe.media.colour.conversion import reformat
from midframe.media.pictures.images import Array
from midframe.media.reading.frame_clock import TimedFrame

CYCLE = 5
"""Frames after which the pattern of pulldown repeats."""
RATE, TOLERANCE = 30, Fraction(1, 10)
"""Frames per second of telecined video, and by how much 30000/1001 and rounded rates differ."""
MIN_CYCLES = 4
"""Successive cycles with the same pattern that count as telecine."""
MIN_COMBED = 0.003
"""Fraction of pixels that two frames of a cycle have combed more than the other three have, at
least."""
COMBED_RATIO = 1.1
"""The same as a ratio, for textures that look combed in all frames."""
MIN_DIFFERENCE, MAX_DIFFERENCE = 12, 8
"""Grey levels by which a combed pixel differs from those above and below, at least, and these from
each other, at most."""
COLUMNS = 160
"""Number of columns of a frame that are examined, at most."""


class TelecineDetector:
    """Detects the pattern of telecine in successive frames."""

    def __init__(self) -> None:
        self._cycle: list[float] = []
        self._phase: int | None = None
        self._count = 0

    def feed(self, picture: av.VideoFrame) -> bool:
        """Examine the next frame; return whether the last `MIN_CYCLES` cycles show the pattern."""
        self._cycle.append(combed_fraction(picture))
        if len(self._cycle) == CYCLE:
            phase = phase_of(self._cycle)
            moves = max(self._cycle) - min(self._cycle) >= MIN_COMBED
            if phase is None and moves:
                self._count = 0
            elif phase is not None:
                self._count = self._count + 1 if phase == self._phase else 1
                self._phase = phase
            self._cycle.clear()
        return self._count >= MIN_CYCLES


def phase_of(combed: list[float]) -> int | None:
    """Return the position of the first of two successive frames of a cycle that are combed more
    than the other three; None if there are no such frames.

    Args:
        combed: fraction of combed pixels of five frames.
    """
    twice = combed + combed
    for phase in range(CYCLE):
        pair, others = twice[phase : phase + 2], twice[phase + 2 : phase + CYCLE]
        if min(pair) >= max(others) * COMBED_RATIO + MIN_COMBED:
            return phase
    return None


def combed_fraction(picture: av.VideoFrame) -> float:
    """Return the fraction of pixels that differ from the rows above and below, which are alike."""
    rows = _luma(picture)
    if len(rows) < 3:
        return 0.0
    above, here, below = rows[:-2], rows[1:-1], rows[2:]
    differs = np.minimum(abs(here - above), abs(here - below)) >= MIN_DIFFERENCE
    combed = differs & (abs(above - below) <= MAX_DIFFERENCE)
    return float(combed.mean())


def _luma(picture: av.VideoFrame) -> Array:
    """Return the luma of some columns of a frame, (H, w) int16."""
    width = min(picture.width, COLUMNS)
    grey = reformat(
        picture,
        width=width,
        height=picture.height,
        format="gray",
        interpolation=Interpolation.POINT,
    )
    luma: Array = grey.to_ndarray().astype(np.int16)
    return luma


def warn_of_telecine(
    frames: Iterable[TimedFrame], warnings: list[str], time_base: Fraction, rate: Fraction
) -> Iterator[TimedFrame]:
    """Yield the frames of a stream; report once that they are telecined.

    Args:
        frames: as they are decoded.
        warnings: to which the report is added.
        time_base: of the frames' pts, in seconds.
        rate: frames per second; only about 30 are examined.
    """
    detector = TelecineDetector() if abs(rate - RATE) < TOLERANCE else None
    for picture, pts, duration in frames:
        if detector and detector.feed(picture):
            detector = None
            warnings.append(
                f"frames are telecined (3:2 pulldown) at {float(pts * time_base):.2f} s, so some "
                "are combed, and deinterlaced ones judder: restore the film first, by ffmpeg -i IN "
                "-vf fieldmatch,decimate OUT"
            )
        yield picture, pts, duration
