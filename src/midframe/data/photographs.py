"""Render sequences from photographs: a smooth known motion, and a foreground layer in front.

Video is compressed and often blurred; photographs are sharp everywhere, and the middle frame of a
rendered sequence is exact.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.data.shards import Frames
from midframe.errors import DatasetError, VideoError
from midframe.folders import visible_files, walk
from midframe.media.pictures.images import read_image
from midframe.media.suffixes import PHOTOGRAPHS

Floats = np.ndarray[Any, np.dtype[np.float32]]
MARGIN = 40
"""Pixels around a patch that moved pixels may come from."""


@dataclass(frozen=True)
class SyntheticMotion:
    """Limits of a layer's motion from the middle to the last frame; to the first it is opposite."""

    max_shift: float = 18.0
    """Largest shift in pixels, along each axis; small shifts are more frequent."""
    max_distortion: float = 3.0
    """Largest additional shift of each corner in pixels: rotation, scaling and perspective."""
    foreground_probability: float = 0.6
    """Probability that a second layer, cut out along a random outline, moves in front."""


def find_photographs(folder: Path) -> list[Path]:
    """List the photographs under a folder, sorted by name."""
    paths = (path for path in walk(folder) if path.suffix.lower() in PHOTOGRAPHS)
    found = visible_files(folder, paths)
    if not found:
        known = " ".join(sorted(PHOTOGRAPHS))
        raise DatasetError(f"{folder} contains no photographs: expected files ending in {known}")
    return found


def read_photograph(path: Path) -> Frames | None:
    """Read a photograph as (H, W, 3) RGB uint8; None if it cannot be decoded."""
    try:
        return read_image(path)
    except VideoError:
        return None


def render_moving_patch(
    photograph: Frames, rng: np.random.Generator, size: int, frames: int, motion: SyntheticMotion
) -> Frames | None:
    """Render a sequence (F, size, size, 3) from a random place of a photograph.

    Args:
        photograph: (H, W, 3) RGB uint8.
        rng: random generator.
        size: height and width of the result in pixels.
        frames: number of frames, odd; the middle frame is the unmoved photograph.
        motion: limits of the random motion.

    Returns:
        The sequence, or None if the photograph is too small.
    """
    scale = rng.uniform(0.5, 1.0)
    resized = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    photograph = np.asarray(resized, np.uint8)
    if min(photograph.shape[:2]) <= size + 2 * MARGIN:
        return None
    times = np.linspace(-1, 1, frames)
    sequence: Frames = render_motion(photograph, rng, size, times, motion)
    if rng.random() >= motion.foreground_probability:
        return sequence
    mask = _draw_blob(rng, size)
    layer, opacity = render_motion(photograph, rng, size, times, motion, mask)
    blended = sequence + (layer.astype(np.float32) - sequence) * opacity[..., None]
    return np.asarray(np.rint(blended), np.uint8)


def render_motion(
    image: Frames,
    rng: np.random.Generator,
    size: int,
    times: Any,
    motion: SyntheticMotion,
    mask: Floats | None = None,
) -> Any:
    """Render a patch at a random place under a random perspective motion.

    Returns:
        The sequence (F, size, size, C); with a mask, that and the moved mask (F, size, size).
    """
    room = size + 2 * MARGIN
    height, width = image.shape[:2]
    top = int(rng.integers(height - room + 1))
    left = int(rng.integers(width - room + 1))
    region = image[top : top + room, left : left + room]
    shift = motion.max_shift * np.sign(rng.uniform(-1, 1, 2)) * rng.random() ** 2 * rng.random(2)
    distortion = rng.uniform(-1, 1, (4, 2)) * motion.max_distortion * rng.random()
    moved = [_warp(region, time * (shift + distortion), size, MARGIN) for time in times]
    if mask is None:
        return np.stack(moved)
    masks = [_warp(mask, time * (shift + distortion), size, 0) for time in times]
    return np.stack(moved), np.stack(masks)


def _warp(image: Any, corners: Any, size: int, margin: int) -> Any:
    """Return the patch inside an image's margin after its corners moved by (4, 2) pixels."""
    square = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    matrix = cv2.getPerspectiveTransform(square + margin, (square + corners).astype(np.float32))
    flags = cv2.INTER_CUBIC if image.ndim == 3 else cv2.INTER_LINEAR
    return cv2.warpPerspective(
        image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )


def _draw_blob(rng: np.random.Generator, size: int) -> Floats:
    """Draw a random blob with a soft edge, (size, size) in [0, 1]: the mask of a layer."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = rng.uniform(0.1, 0.35) * size * rng.uniform(0.6, 1.4, 12)
    centre = rng.uniform(0.2, 0.8, 2) * size
    outline = centre + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1.0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.8), np.float32)
