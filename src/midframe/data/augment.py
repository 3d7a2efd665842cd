"""Augmentation of samples as in both papers (crops, flips, rotations, opposite shifts), and
fades."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from midframe.data.shards import Frames
from midframe.data.triplets import optical_flow, warp_error

FLOW_CONTEXT = 24
"""Pixels around a crop that optical flow reads too, if the sample is large enough."""
HALF_CONFIDENCE_ERROR = 6.0
"""Warp error in grey levels at which the confidence of a flow is 0.5."""
MAX_FADE = 0.8
"""Largest opacity of a fade."""


@dataclass(frozen=True)
class FlowLabels:
    """Pseudo-labels: optical flow from the middle frame to the outer two."""

    flows: np.ndarray[Any, np.dtype[np.float32]]
    """Flow to the first and to the second frame, (2, 2, H, W), x before y, in pixels."""
    confidence: np.ndarray[Any, np.dtype[np.float32]]
    """How well each flow explains the middle frame, (2, H, W), from 0 to 1."""


def augment(
    frames: Frames,
    rng: np.random.Generator,
    size: int,
    max_shift: int,
    *,
    shuffle_channels: float = 0.0,
    fades: float = 0.0,
    time: Fraction = Fraction(1, 2),
) -> Frames:
    """Augment a sample at random.

    The crops of the first and the second frame are shifted in opposite directions, which adds a
    motion of up to twice `max_shift` pixels between them (SepConv, section 4.1). The crop of the
    middle frame is shifted in proportion to its time, by whole pixels: at t = 1/2, not at all.

    Args:
        frames: first, middle and second, (3, H, W, 3).
        rng: random generator; the same state gives the same crop.
        size: height and width of the crop in pixels.
        max_shift: largest shift of an outer frame in pixels, along each axis.
        shuffle_channels: probability that the colour channels are permuted.
        fades: probability that the sample fades; see `fade`.
        time: t of the middle frame, from 0 to 1.

    Returns:
        The crop, (3, size, size, 3), contiguous.
    """
    height, width = frames.shape[1:3]
    room = np.array([height - size, width - size])
    middle_shift = 2 * time - 1  # of the middle frame, as a fraction of the outer frames' shift
    limit = np.minimum(max_shift, room // 2) // middle_shift.denominator
    steps = rng.integers(-limit, limit + 1) * (rng.random() < 0.5)
    shift = steps * middle_shift.denominator
    corner = rng.integers(abs(shift), room - abs(shift) + 1)
    corners = corner - shift, corner + steps * middle_shift.numerator, corner + shift
    crop = np.stack(
        [
            frame[top : top + size, left : left + size]
            for frame, (top, left) in zip(frames, corners, strict=True)
        ]
    )
    crop = np.rot90(crop, int(rng.integers(4)), axes=(1, 2))
    if rng.random() < 0.5:
        crop = crop[:, :, ::-1]
    if rng.random() < shuffle_channels:
        crop = crop[..., rng.permutation(3)]
    if rng.random() < fades:
        crop = fade(crop, rng, time)
    return np.ascontiguousarray(crop)


def fade(frames: Frames, rng: np.random.Generator, time: Fraction) -> Frames:
    """Fade a sample to or from black, white or a random grey, linearly in time.

    Each frame is blended with the grey by an opacity that is linear in time, so the middle frame
    stays the correct interpolation of the other two.
    """
    grey = rng.choice(np.array([0, 255, rng.integers(256)], np.float32))
    start, end = rng.uniform(0, MAX_FADE, 2)
    opacity = np.array([start, start + float(time) * (end - start), end])[:, None, None, None]
    return np.asarray(np.rint(frames + opacity * (grey - frames)), np.uint8)


def estimate_flow_labels(frames: Frames) -> FlowLabels:
    """Estimate DIS optical flow from the middle to the outer frames; frames are (3, H, W, 3)."""
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames]
    flows = [optical_flow(grey[1], outer) for outer in (grey[0], grey[2])]
    errors = [
        cv2.blur(warp_error(grey[1], outer, flow), (5, 5))
        for outer, flow in zip((grey[0], grey[2]), flows, strict=True)
    ]
    confidence = np.stack([1 / (1 + (error / HALF_CONFIDENCE_ERROR) ** 2) for error in errors])
    return FlowLabels(np.stack(flows).transpose(0, 3, 1, 2), confidence)


def centre_crop(array: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Crop the last two axes to a centred square."""
    height, width = array.shape[-2:]
    top, left = (height - size) // 2, (width - size) // 2
    return array[..., top : top + size, left : left + size]
