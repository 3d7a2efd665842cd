"""Read clips with OpenCV: decoded shots without cuts, and their usable windows.

OpenCV brings its own decoder, so that training needs no FFmpeg libraries.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WINDOW = 7
"""Frames per window, from which triplets are taken."""
HALVE_ABOVE = 1000
"""Frames with a short side above this, in pixels, are downscaled to half."""
CHUNK = 32
"""Maximum frames per piece of a shot; the pieces with most motion are kept."""
THUMBNAIL = 64, 36
CUT_DIFFERENCE, CUT_RATIO = 18.0, 3.0
"""There is a cut where thumbnails differ by more than CUT_DIFFERENCE grey levels and by more than
CUT_RATIO times the median of the neighbouring differences."""
DUPLICATE_RATIO, DUPLICATE_MOTION = 0.2, 0.5
"""A frame is a duplicate if it differs from the one before by less than DUPLICATE_RATIO times the
median of the neighbouring differences, where that exceeds DUPLICATE_MOTION grey levels."""
NEIGHBOURHOOD = 4
"""Neighbouring differences before and after a frame."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one shot."""

    frames: Array
    """(T, H, W, 3), RGB bytes."""
    starts: list[int]
    """First frames of the windows without duplicate frames."""


def read_clip(path: Path, max_frames: int) -> list[Clip]:
    """Read the pieces of a video with most motion, at most `max_frames` frames.

    The list is empty if the video cannot be read.
    """
    capture = cv2.VideoCapture(str(path))
    frames, thumbnails = [], []
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
    """Choose the pieces (start, stop) without a cut that have most motion, sorted by time.

    Args:
        differences: of successive frames, (T - 1,), in grey levels.
        max_frames: maximum total number of frames.
    """
    medians = np.array([np.median(_neighbourhood(differences, n)) for n in range(len(differences))])
    cuts = np.flatnonzero((differences > CUT_DIFFERENCE) & (differences > CUT_RATIO * medians)) + 1
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
    """Return the first frames of the windows of a clip without duplicate frames."""
    duplicate = np.zeros(len(differences), bool)
    for n, difference in enumerate(differences):
        usual = float(np.median(_neighbourhood(differences, n)))
        duplicate[n] = usual > DUPLICATE_MOTION and difference < DUPLICATE_RATIO * usual
    last = len(differences) + 1 - WINDOW
    return [n for n in range(last + 1) if not duplicate[n : n + WINDOW - 1].any()]


def _neighbourhood(differences: Array, n: int) -> Array:
    return differences[max(0, n - NEIGHBOURHOOD) : n + NEIGHBOURHOOD + 1]
