"""What makes a good patch to learn from: motion, texture, no cut, no repeat.

AdaConv, section 4; SepConv, section 4.1.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np

Image = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

FLOW_SHORT_SIDE = 360
"""Optical flow is measured on frames reduced to this short side, in pixels."""
FASTEST_SHARE = 0.05
"""So much of a patch may move further than is wanted."""
PLACE_STEP = 50
"""Distance between the places where a patch may lie, in pixels."""


@dataclass(frozen=True)
class Selection:
    """The bounds within which a sequence of patches is kept. Motion is from its first frame to its last."""

    size: int = 150
    """Height and width of a stored patch in pixels (SepConv: 150, from which 128 are cropped)."""
    max_motion: float = 44.0
    """Patches of which more than a twentieth moves further are left out, in pixels: 51 taps reach 25 to either side."""
    min_motion: float = 0.8
    """Patches that move less on average are left out as still, in pixels."""
    min_texture: float = 4.0
    """Patches with a smaller mean gradient are left out as flat, in grey levels of 255 a pixel."""
    min_entropy: float = 2.0
    """Patches whose grey levels, of 64, tell less are left out as flat, in bits (AdaConv, section 4)."""
    max_warp_error: float = 18.0
    """Above this mean error, in grey levels, flow does not explain the motion: a cut, or a failure in a patch."""
    min_difference: float = 0.15
    """Neighbouring frames that differ less on average, in grey levels, are a repeat."""


@dataclass(frozen=True)
class Candidate:
    """A place for a patch, with what was measured there."""

    top: int
    left: int
    motion: float
    """Mean length of the flow from the first frame to the last, in pixels."""
    weight: float
    """How much it is wanted: mean and spread of the flow together."""


def find_candidates(frames: list[Image], selection: Selection) -> list[Candidate]:
    """List the places in a sequence of frames, each (H, W, 3) RGB, where a patch is worth keeping.

    Returns an empty list where the sequence holds a cut or a repeated frame or is smaller than a patch.
    """
    height, width = frames[0].shape[:2]
    if min(height, width) < selection.size:
        return []
    scale = min(1.0, FLOW_SHORT_SIDE / min(height, width))
    grey = [_reduced_grey(frame, scale) for frame in frames]
    if is_repeat(grey, selection):
        return []
    flow = optical_flow(grey[0], grey[-1])
    error = warp_error(grey[0], grey[-1], flow)
    if error.mean() > selection.max_warp_error or _any_cut(grey, selection):
        return []
    middle = grey[len(grey) // 2]
    places = np.array(_places(height, width, selection.size))
    means = _means(_maps(flow / scale, error, middle, selection), places, selection.size, scale)
    wanted = (means.motion >= selection.min_motion) & (means.too_fast <= FASTEST_SHARE)
    wanted &= (means.error <= selection.max_warp_error) & (means.texture >= selection.min_texture)
    found = []
    for index in np.flatnonzero(wanted):
        top, left = places[index].tolist()
        if entropy(middle[_reduced_window(top, left, selection.size, scale)]) >= selection.min_entropy:
            motion = float(means.motion[index])
            found.append(Candidate(top, left, motion, weight=motion + 2 * float(means.spread[index])))
    return found


class _Means(NamedTuple):
    """What was measured of every place, each (P,)."""

    motion: Doubles
    too_fast: Doubles
    error: Doubles
    texture: Doubles
    spread: Doubles
    """Standard deviation of the flow, summed over both axes, in pixels."""


def _maps(flow: Floats, error: Floats, grey: Image, selection: Selection) -> Floats:
    """What is averaged over places, (H, W, 8): motion, whether too fast, error, texture, flow and its square."""
    motion = np.linalg.norm(flow, axis=2)
    single = (motion, motion > selection.max_motion, error, gradient_length(grey))
    return np.concatenate((np.stack(single, axis=2), flow, flow**2), axis=2).astype(np.float32)


def _means(maps: Floats, places: Any, size: int, scale: float) -> _Means:
    """Average over the squares of `size` at places (P, 2), by differences of sums from the corner."""
    sums = cv2.integral(maps, sdepth=cv2.CV_64F)  # (H + 1, W + 1, 8)
    (top, left), (bottom, right) = (np.rint(corners * scale).astype(int).T for corners in (places, places + size))
    areas = ((bottom - top) * (right - left))[:, None]
    means = (sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]) / areas  # (P, 8)
    motion, too_fast, error, texture = means.T[:4]
    variance = np.clip(means[:, 6:] - means[:, 4:6] ** 2, 0, None)
    return _Means(motion, too_fast, error, texture, np.sqrt(variance).sum(1))


def _reduced_window(top: int, left: int, size: int, scale: float) -> tuple[slice, slice]:
    return (
        slice(round(top * scale), round((top + size) * scale)),
        slice(round(left * scale), round((left + size) * scale)),
    )


def any_place(frames: list[Image], size: int, selection: Selection, rng: np.random.Generator) -> tuple[int, int] | None:
    """A place for a patch at random, whatever is there: top and left; None beside a cut or in too small frames.

    A sequence in which nothing moves will do, but not one with a repeated frame among moving ones.
    """
    height, width = frames[0].shape[:2]
    if min(height, width) < size:
        return None
    top, left = (int(rng.integers(extent - size + 1)) for extent in (height, width))
    grey = [_reduced_grey(frame, min(1.0, FLOW_SHORT_SIDE / min(height, width))) for frame in frames]
    still = [is_repeat(list(pair), selection) for pair in pairwise(grey)]
    return None if _any_cut(grey, selection) or any(still) != all(still) else (top, left)


def optical_flow(first: Image, second: Image, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST) -> Floats:
    """DIS optical flow between two grey images (H, W), as (H, W, 2) in pixels, x before y."""
    flow: Floats = cv2.DISOpticalFlow.create(preset).calc(first, second, None)
    return flow


def warp_error(first: Image, second: Image, flow: Floats) -> Floats:
    """How far the second grey image, fetched along the flow, is from the first, (H, W) in grey levels."""
    height, width = first.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    fetched = cv2.remap(
        second, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    error: Floats = cv2.absdiff(first, fetched).astype(np.float32)
    return error


def is_repeat(grey: list[Image], selection: Selection) -> bool:
    """Whether any frame of a sequence repeats the one before it."""
    return any(cv2.absdiff(a, b).mean() < selection.min_difference for a, b in pairwise(grey))


def _any_cut(grey: list[Image], selection: Selection) -> bool:
    """Whether two neighbouring frames have different subjects: compared as thumbnails, which motion changes little."""
    small = [cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32) for image in grey]
    return any(abs(a - b).mean() > 2 * selection.max_warp_error for a, b in pairwise(small))


def _reduced_grey(frame: Image, scale: float) -> Image:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    reduced = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return np.asarray(reduced, np.uint8)


def gradient_length(grey: Image) -> Floats:
    """How much a grey image changes at each pixel, (H, W) in grey levels a pixel."""
    along_x, along_y = cv2.spatialGradient(grey)
    length: Floats = (abs(along_x.astype(np.float32)) + abs(along_y)) / 8  # Sobel sums 8 differences of one pixel
    return length


def entropy(grey: Image) -> float:
    """How many bits the grey level of a pixel tells, of 64 levels; from 0 to 6."""
    counts = np.bincount((grey >> 2).ravel(), minlength=64)
    shares = counts[counts > 0] / grey.size
    return float(-(shares * np.log2(shares)).sum())


def _places(height: int, width: int, size: int) -> list[tuple[int, int]]:
    return [
        (top, left)
        for top in range(0, height - size + 1, PLACE_STEP)
        for left in range(0, width - size + 1, PLACE_STEP)
    ]
