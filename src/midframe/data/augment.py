"""Varying samples, as both papers do: crops, mirror images, turns, and shifts that add motion; and fades."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from midframe.data.shards import Frames
from midframe.data.triplets import optical_flow, warp_error

FLOW_CONTEXT = 24
"""Pixels around a crop that optical flow sees beside it, where the sample has them."""
TRUSTED_ERROR = 6.0
"""A flow whose warp error is this many grey levels counts half."""
MOST_FADE = 0.8
"""How much of a frame a fade may take away."""


@dataclass(frozen=True)
class Guide:
    """Where optical flow finds the middle frame's pixels in the outer two."""

    flows: np.ndarray[Any, np.dtype[np.float32]]
    """From the middle to the first and to the second frame, (2, 2, H, W), x before y, in pixels."""
    trust: np.ndarray[Any, np.dtype[np.float32]]
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
    """Vary a sample at random.

    The first and the last frame are cropped at places shifted oppositely, which adds a motion of up to twice
    `max_shift` pixels between them (SepConv, section 4.1). The frame between them shifts in proportion to its time, by
    whole pixels: in the middle not at all.

    Args:
        frames: first, between and second, (3, H, W, 3).
        rng: the source of chance; the same state gives the same crop.
        size: height and width of the crop in pixels.
        max_shift: the largest shift of an outer frame in pixels, along each axis.
        shuffle_channels: how probable it is that colours change places.
        fades: how probable it is that the sample fades; see `fade`.
        time: of the frame between, from 0 to 1.

    Returns:
        The crop, (3, size, size, 3), contiguous.
    """
    height, width = frames.shape[1:3]
    room = np.array([height - size, width - size])
    part = 2 * time - 1  # of the shift, for the frame between
    limit = np.minimum(max_shift, room // 2) // part.denominator
    steps = rng.integers(-limit, limit + 1) * (rng.random() < 0.5)
    shift = steps * part.denominator
    corner = rng.integers(abs(shift), room - abs(shift) + 1)
    places = corner - shift, corner + steps * part.numerator, corner + shift
    crop = np.stack(
        [frame[top : top + size, left : left + size] for frame, (top, left) in zip(frames, places, strict=True)]
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
    """Fade a sample to or from a grey, black or white as often as any other, evenly over its time.

    Each frame is mixed with the grey by a share that changes linearly with time, so the frame between is still what
    lies between the other two.
    """
    grey = rng.choice(np.array([0, 255, rng.integers(256)], np.float32))
    start, end = rng.uniform(0, MOST_FADE, 2)
    shares = np.array([start, start + float(time) * (end - start), end])[:, None, None, None]
    return np.asarray(np.rint(frames + shares * (grey - frames)), np.uint8)


def measure_guide(frames: Frames) -> Guide:
    """Find the frame between in the first and the second by DIS optical flow; frames are (3, H, W, 3)."""
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames]
    flows = [optical_flow(grey[1], outer) for outer in (grey[0], grey[2])]
    errors = [
        cv2.blur(warp_error(grey[1], outer, flow), (5, 5))
        for outer, flow in zip((grey[0], grey[2]), flows, strict=True)
    ]
    trust = np.stack([1 / (1 + (error / TRUSTED_ERROR) ** 2) for error in errors])
    return Guide(np.stack(flows).transpose(0, 3, 1, 2), trust)


def centre(array: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Cut the last two axes to a centred square of `size`."""
    top, left = ((extent - size) // 2 for extent in array.shape[-2:])
    return array[..., top : top + size, left : left + size]
