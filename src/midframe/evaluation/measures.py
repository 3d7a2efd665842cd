"""How near a made frame is to the truth, by the protocol of the field.

The made frame has been clipped, multiplied by 255 and rounded to 8 bit; PSNR and SSIM are scikit-image's on RGB with
its defaults. Sharpness is the mean absolute Laplacian of the interpolated frame, divided by that of the ground truth.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from midframe.images import Array, blended

SSIM_WINDOW = 7
"""Smallest height and width that scikit-image measures the SSIM of, in pixels."""
MIN_DETAIL = 0.1
"""Mean absolute Laplacian below which a frame counts as flat, in grey levels; photographs have 5 to 40."""


@dataclass(frozen=True)
class Measures:
    """What is measured of one frame."""

    psnr: float
    """In dB; infinite where the frames are equal."""
    ssim: float
    error: float
    """Interpolation error: the mean absolute difference, in grey levels, as papers since RIFE (2020) report it."""
    sharpness: float
    """1.0 as sharp as the ground truth, less if blurred; NaN where only the ground truth is flat: see `sharpness`."""


COLUMNS = tuple(Measures.__dataclass_fields__)
"""The names of all measures, in the order of `Measures`."""


def measure(truth: Array, made: Array) -> Measures:
    """Compare 8-bit frames (H, W, 3)."""
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(truth, made, data_range=255)
    ssim = structural_similarity(truth, made, data_range=255, channel_axis=2)
    return Measures(float(psnr), float(ssim), float(abs(made.astype(int) - truth).mean()), sharpness(truth, made))


def laplacian(image: Array) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Compute the absolute Laplacian of a frame (H, W, C) from the four nearest neighbours of each inner pixel.

    Returns:
        (H - 2, W - 2, C) float32, in the frame's grey levels.
    """
    levels = image.astype(np.float32)
    neighbours = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:]  # (H - 2, W - 2, C)
    result: np.ndarray[Any, np.dtype[np.float32]] = abs(4 * levels[1:-1, 1:-1] - neighbours)
    return result


def sharpness(truth: Array, interpolated: Array) -> float:
    """Divide the mean absolute Laplacian (4 neighbours) of a frame by that of the ground truth, both (H, W, C) 8 bit.

    Returns:
        1.0 if both are as sharp, less if the frame is blurred, more if it has ringing or noise. 1.0 if both are flat,
        NaN if only the ground truth is.
    """
    return detail_ratio(float(laplacian(truth).mean()), float(laplacian(interpolated).mean()))


def detail_ratio(truth: float, interpolated: float) -> float:
    """Divide two mean absolute Laplacians in grey levels, with the exceptions for flat content of `sharpness`."""
    if truth < MIN_DETAIL:
        return 1.0 if interpolated < MIN_DETAIL else math.nan
    return interpolated / truth


def defined(values: Iterable[float]) -> list[float]:
    """Drop NaN, which marks frames without a measure; a list of NaN alone becomes one NaN."""
    return [value for value in values if not math.isnan(value)] or [math.nan]


def finite(measures: Measures) -> dict[str, float | None]:
    """Convert measures to a dict for JSON; infinity and NaN become None."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(measures).items()}


def average(first: Array, second: Array) -> Array:
    """The mean of two 8-bit frames, rounded."""
    return blended(first, second, Fraction(1, 2))


def error_map(truth: Array, made: Array) -> Array:
    """Four times the difference of two 8-bit frames."""
    difference: Array = abs(made.astype(int) - truth)
    return (difference * 4).clip(0, 255).astype(np.uint8)
