"""Selection of patches for training: with motion and texture, without duplicate frames.

AdaConv, section 4; SepConv, section 4.1.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np

from midframe.media.pictures.duplicates import TOLERANCE, is_duplicate

Image = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

FLOW_SHORT_SIDE = 360
"""Optical flow is estimated on frames downscaled to this short side, in pixels."""
MAX_FAST_FRACTION = 0.05
"""Maximum fraction of a patch that may move further than `max_motion`."""
GRID_STEP = 50
"""Spacing of the candidate positions of patches, in pixels."""


@dataclass(frozen=True)
class Selection:
    """Criteria for keeping a sequence of patches. Motion is from its first frame to its last."""

    size: int = 150
    """Height and width of a stored patch in pixels (SepConv: 150, cropped to 128)."""
    max_motion: float = 44.0
    """Patches of which more than 5 % moves further than this are dropped, in pixels: kernels of 51
    taps reach 25 pixels in each direction."""
    min_motion: float = 0.8
    """Patches with a smaller mean motion are dropped as static, in pixels."""
    min_texture: float = 4.0
    """Patches with a smaller mean gradient are dropped as flat, in grey levels (of 255) per
    pixel."""
    min_entropy: float = 2.0
    """Patches with a smaller entropy of their 64 grey levels are dropped as flat, in bits (AdaConv,
    section 4)."""
    max_warp_error: float = 18.0
    """Sequences and patches with a larger mean warp error, in grey levels, are dropped: a cut, or
    failed optical flow."""
    min_difference: float = TOLERANCE
    """Successive frames are duplicates if no block of 16x16 pixels differs by more than this in the
    mean, in grey levels."""


@dataclass(frozen=True)
class Candidate:
    """A position of a patch and its measurements."""

    top: int
    left: int
    motion: float
    """Mean flow length from the first frame to the last, in pixels."""
    weight: float
    """Sampling weight: mean plus twice the standard deviation of the flow."""


def find_candidates(frames: list[Image], selection: Selection) -> list[Candidate]:
    """List the positions in a sequence of frames, each (H, W, 3) RGB, of patches worth keeping.

    The list is empty if the sequence has a duplicate frame, or is smaller than a patch.
    """
    height, width = frames[0].shape[:2]
    if min(height, width) < selection.size:
        return []
    scale = min(1.0, FLOW_SHORT_SIDE / min(height, width))
    grey = [_downscale_grey(frame, scale) for frame in frames]
    if has_duplicate(grey, selection):
        return []
    flow = optical_flow(grey[0], grey[-1])
    error = warp_error(grey[0], grey[-1], flow)
    if error.mean() > selection.max_warp_error:
        return []
    middle = grey[len(grey) // 2]
    positions = np.array(_list_positions(height, width, selection.size))
    means = _average_over_positions(
        _build_maps(flow / scale, error, middle, selection), positions, selection.size, scale
    )
    is_kept = (means.motion >= selection.min_motion) & (means.too_fast <= MAX_FAST_FRACTION)
    is_kept &= (means.error <= selection.max_warp_error) & (means.texture >= selection.min_texture)
    found = []
    for index in np.flatnonzero(is_kept):
        top, left = positions[index].tolist()
        patch = middle[_downscaled_window(top, left, selection.size, scale)]
        if entropy(patch) >= selection.min_entropy:
            motion = float(means.motion[index])
            weight = motion + 2 * float(means.spread[index])
            found.append(Candidate(top, left, motion, weight))
    return found


class _Means(NamedTuple):
    """Measurements of all candidate positions, each (P,)."""

    motion: Doubles
    too_fast: Doubles
    error: Doubles
    texture: Doubles
    spread: Doubles
    """Standard deviation of the flow, summed over both axes, in pixels."""


def _build_maps(flow: Floats, error: Floats, grey: Image, selection: Selection) -> Floats:
    """Stack the maps that are averaged, (H, W, 8).

    Channels: motion, whether it is too fast, warp error, texture, flow (2) and its square (2).
    """
    motion = np.linalg.norm(flow, axis=2)
    single = (motion, motion > selection.max_motion, error, gradient_magnitude(grey))
    return np.concatenate((np.stack(single, axis=2), flow, flow**2), axis=2).astype(np.float32)


def _average_over_positions(maps: Floats, positions: Any, size: int, scale: float) -> _Means:
    """Average over the squares of `size` at positions (P, 2), by an integral image."""
    sums = cv2.integral(maps, sdepth=cv2.CV_64F)  # (H + 1, W + 1, 8)
    top, left = np.rint(positions * scale).astype(int).T
    bottom, right = np.rint((positions + size) * scale).astype(int).T
    areas = ((bottom - top) * (right - left))[:, None]
    totals = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    means = totals / areas  # (P, 8)
    motion, too_fast, error, texture = means.T[:4]
    variance = np.clip(means[:, 6:] - means[:, 4:6] ** 2, 0, None)
    return _Means(motion, too_fast, error, texture, np.sqrt(variance).sum(1))


def _downscaled_window(top: int, left: int, size: int, scale: float) -> tuple[slice, slice]:
    """Return the rows and columns of a patch in frames that are downscaled by `scale`."""
    return (
        slice(round(top * scale), round((top + size) * scale)),
        slice(round(left * scale), round((left + size) * scale)),
    )


def choose_random_position(
    frames: list[Image], size: int, selection: Selection, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Choose a random position (top, left) of a patch, with or without motion and texture.

    Returns:
        The position; None if the frames are too small, or if some but not all are duplicates of the
        frame before.
    """
    height, width = frames[0].shape[:2]
    if min(height, width) < size:
        return None
    top = int(rng.integers(height - size + 1))
    left = int(rng.integers(width - size + 1))
    scale = min(1.0, FLOW_SHORT_SIDE / min(height, width))
    grey = [_downscale_grey(frame, scale) for frame in frames]
    duplicates = [has_duplicate(list(pair), selection) for pair in pairwise(grey)]
    if any(duplicates) != all(duplicates):
        return None
    return top, left


def optical_flow(
    first: Image, second: Image, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST
) -> Floats:
    """Estimate DIS optical flow between grey images (H, W): (H, W, 2) in pixels, x before y."""
    flow: Floats = cv2.DISOpticalFlow.create(preset).calc(first, second, None)
    return flow


def warp_error(first: Image, second: Image, flow: Floats) -> Floats:
    """Return the absolute difference of the first and the warped second image, (H, W)."""
    height, width = first.shape
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    warped = cv2.remap(
        second,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    error: Floats = cv2.absdiff(first, warped).astype(np.float32)
    return error


def has_duplicate(grey: list[Image], selection: Selection) -> bool:
    """Return whether any frame of a sequence is a duplicate of the frame before."""
    return any(
        is_duplicate(before, after, selection.min_difference) for before, after in pairwise(grey)
    )


def _downscale_grey(frame: Image, scale: float) -> Image:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def gradient_magnitude(grey: Image) -> Floats:
    """Return the gradient magnitude of a grey image, (H, W), in grey levels per pixel."""
    along_x, along_y = cv2.spatialGradient(grey)
    total = abs(along_x.astype(np.float32)) + abs(along_y)
    length: Floats = total / 8  # Sobel sums 8 differences
    return length


def entropy(grey: Image) -> float:
    """Return the entropy of a grey image with 64 levels, from 0 to 6 bits."""
    counts = np.bincount((grey >> 2).ravel(), minlength=64)
    probabilities = counts[counts > 0] / grey.size
    return float(-(probabilities * np.log2(probabilities)).sum())


def _list_positions(height: int, width: int, size: int) -> list[tuple[int, int]]:
    return [
        (top, left)
        for top in range(0, height - size + 1, GRID_STEP)
        for left in range(0, width - size + 1, GRID_STEP)
    ]
