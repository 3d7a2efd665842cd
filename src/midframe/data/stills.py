"""Sequences made from photographs: textures that move by a known, smooth motion, and layers that pass before them.

Footage is compressed and often smooth; photographs are sharp everywhere, and the frame in the middle is exact.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midframe.data.shards import Frames
from midframe.errors import DatasetError
from midframe.folders import visible

Floats = np.ndarray[Any, np.dtype[np.float32]]
STILL_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MARGIN = 40
"""Pixels around a patch from which motion fetches."""


@dataclass(frozen=True)
class StillMotion:
    """How patches of photographs are made to move from the middle frame to the last; the first moves oppositely."""

    max_shift: float = 18.0
    """Largest shift in pixels, along each axis; small ones are more frequent."""
    max_bend: float = 3.0
    """How much further each corner may move, in pixels: turns, scales and perspective."""
    layer_share: float = 0.6
    """Share of the sequences in which a cut-out of another place passes before."""


def find_stills(folder: Path) -> list[Path]:
    """List the photographs under a folder, by name."""
    found = visible(folder, (path for path in folder.rglob("*") if path.suffix.lower() in STILL_SUFFIXES))
    if not found:
        raise DatasetError(f"{folder} holds no photographs: files ending in {' '.join(sorted(STILL_SUFFIXES))}")
    return found


def read_still(path: Path) -> Frames | None:
    """Read a photograph as (H, W, 3) RGB uint8; None if it cannot be."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def moving_patch(still: Frames, rng: np.random.Generator, size: int, frames: int, motion: StillMotion) -> Frames | None:
    """Make a sequence (F, size, size, 3) from a random place of a photograph; None if it is too small.

    Args:
        still: (H, W, 3) RGB uint8.
        rng: the source of chance.
        size: height and width of the result in pixels.
        frames: how many, odd; the one in the middle does not move.
        motion: how the others do.
    """
    scale = rng.uniform(0.5, 1.0)
    still = np.asarray(cv2.resize(still, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    if min(still.shape[:2]) <= size + 2 * MARGIN:
        return None
    times = np.linspace(-1, 1, frames)
    sequence: Frames = glide(still, rng, size, times, motion)
    if rng.random() >= motion.layer_share:
        return sequence
    layer, mask = glide(still, rng, size, times, motion, _cut_out(rng, size))
    blended = sequence + (layer.astype(np.float32) - sequence) * mask[..., None]
    return np.asarray(np.rint(blended), np.uint8)


def glide(
    still: Frames, rng: np.random.Generator, size: int, times: Any, motion: StillMotion, mask: Floats | None = None
) -> Any:
    """Cut a moving patch (F, size, size, C) from a random place; with a mask, that and the moving mask."""
    room = size + 2 * MARGIN
    top, left = (int(rng.integers(extent - room + 1)) for extent in still.shape[:2])
    region = still[top : top + room, left : left + room]
    shift = motion.max_shift * np.sign(rng.uniform(-1, 1, 2)) * rng.random() ** 2 * rng.random(2)
    bend = rng.uniform(-1, 1, (4, 2)) * motion.max_bend * rng.random()
    moved = [_warped(region, time * (shift + bend), size, MARGIN) for time in times]
    if mask is None:
        return np.stack(moved)
    return np.stack(moved), np.stack([_warped(mask, time * (shift + bend), size, 0) for time in times])


def _warped(image: Any, corners: Any, size: int, margin: int) -> Any:
    """The patch inside an image's margin after its corners have moved by (4, 2) pixels."""
    square = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    matrix = cv2.getPerspectiveTransform(square + margin, (square + corners).astype(np.float32))
    flags = cv2.INTER_CUBIC if image.ndim == 3 else cv2.INTER_LINEAR
    return cv2.warpPerspective(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def _cut_out(rng: np.random.Generator, size: int) -> Floats:
    """A random blob with a soft edge, (size, size) in [0, 1]: the outline of something that passes."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = rng.uniform(0.1, 0.35) * size * rng.uniform(0.6, 1.4, 12)
    centre = rng.uniform(0.2, 0.8, 2) * size
    outline = centre + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1.0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.8), np.float32)
