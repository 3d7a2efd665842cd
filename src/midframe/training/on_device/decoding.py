"""Reading clips with OpenCV: uncompressed shots without cuts, and which of their windows to use.

OpenCV is used because a machine lent for training often has no FFmpeg libraries of its own.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WINDOW = 7
"""Frames of a window, from which three are taken."""
HALVE_ABOVE = 1000
"""Frames with a shorter side above this many pixels are halved as they are read."""
CHUNK = 32
"""Frames of a piece of a shot, of which the liveliest are kept."""
THUMBNAIL = 64, 36
CUT_DIFFERENCE, CUT_RATIO = 18.0, 3.0
"""Two frames belong to different shots if their thumbnails differ by so many grey levels, and by so
many times the median of the differences around."""
REPEAT_RATIO, REPEAT_MOTION = 0.2, 0.5
"""A frame repeats the one before if it differs by less than this share of the differences around, where
these exceed so many grey levels."""
AROUND = 4
"""Frames before and after that count as around."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one shot."""

    frames: Array
    """(T, H, W, 3), RGB bytes."""
    starts: list[int]
    """First frames of the windows that hold no repeated frame."""


def read_clip(path: Path, max_frames: int) -> list[Clip]:
    """Read the liveliest pieces of a video, `max_frames` frames at most; none if it cannot be read."""
    capture, frames, thumbnails = cv2.VideoCapture(str(path)), [], []
    while True:
        readable, frame = capture.read()
        if not readable:
            break
        if min(frame.shape[:2]) > HALVE_ABOVE:
            frame = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        frames.append(frame)
        small = cv2.resize(frame, THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnails.append(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32))
    capture.release()
    if len(frames) < WINDOW:
        return []
    differences = np.array(
        [np.abs(after - before).mean() for before, after in pairwise(thumbnails)]
    )
    pieces = choose_pieces(differences, max_frames)
    return [
        Clip(
            np.stack([cv2.cvtColor(frames[n], cv2.COLOR_BGR2RGB) for n in range(start, stop)]),
            usable_starts(differences[start : stop - 1]),
        )
        for start, stop in pieces
    ]


def choose_pieces(differences: Array, max_frames: int) -> list[tuple[int, int]]:
    """Choose pieces (start, stop) of at most `CHUNK` frames without a cut, the liveliest first.

    Args:
        differences: between each frame and the next, (T - 1,), in grey levels.
        max_frames: frames of all pieces together, at most.
    """
    around = np.array([np.median(_around(differences, n)) for n in range(len(differences))])
    cuts = np.flatnonzero((differences > CUT_DIFFERENCE) & (differences > CUT_RATIO * around)) + 1
    pieces = []
    for start, stop in zip([0, *cuts], [*cuts, len(differences) + 1], strict=True):
        for begin in range(start, stop, CHUNK):
            end = min(begin + CHUNK, stop)
            if end - begin >= WINDOW:
                pieces.append((float(differences[begin : end - 1].mean()), begin, end))
    chosen, total = [], 0
    for _, begin, end in sorted(pieces, reverse=True):
        if total + end - begin <= max_frames:
            chosen.append((int(begin), int(end)))
            total += end - begin
    return sorted(chosen)


def usable_starts(differences: Array) -> list[int]:
    """The first frames of the windows of a clip in which no frame repeats the one before it."""
    repeated = np.zeros(len(differences), bool)
    for n, difference in enumerate(differences):
        usual = float(np.median(_around(differences, n)))
        repeated[n] = usual > REPEAT_MOTION and difference < REPEAT_RATIO * usual
    last = len(differences) + 1 - WINDOW
    return [n for n in range(last + 1) if not repeated[n : n + WINDOW - 1].any()]


def _around(differences: Array, n: int) -> Array:
    return differences[max(0, n - AROUND) : n + AROUND + 1]
