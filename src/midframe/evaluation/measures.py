"""Measure an interpolated frame against the ground truth, by the protocol of the literature.

The interpolated frame has been clipped, multiplied by 255 and rounded to 8 bit. PSNR and SSIM are
computed by scikit-image on RGB with its defaults. Sharpness is the mean absolute Laplacian of the
interpolated frame, divided by that of the ground truth.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from midframe.media.pictures.images import Array, blend_images

SSIM_WINDOW = 7
"""Minimum height and width for SSIM in scikit-image, in pixels."""
MIN_DETAIL = 0.1
"""Mean absolute Laplacian below which a frame counts as flat, in grey levels; photographs have 5
to 40."""


@dataclass(frozen=True)
class Measures:
    """Measurements of one frame."""

    psnr: float
    """In dB; infinite where the frames are equal."""
    ssim: float
    error: float
    """Interpolation error: mean absolute difference in grey levels, as in papers since RIFE
    (2020)."""
    sharpness: float
    """1.0 as sharp as the ground truth, less if blurred; NaN where only the ground truth is
    flat: see `sharpness`."""


COLUMNS = tuple(Measures.__dataclass_fields__)
"""The names of all measures, in the order of `Measures`."""


def measure(truth: Array, interpolated: Array) -> Measures:
    """Compare 8-bit frames (H, W, 3)."""
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(truth, interpolated, data_range=255)
    ssim = structural_similarity(truth, interpolated, data_range=255, channel_axis=2)
    error = float(abs(interpolated.astype(int) - truth).mean())
    return Measures(float(psnr), float(ssim), error, sharpness(truth, interpolated))


def laplacian(image: Array) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Compute the absolute Laplacian of a frame (H, W, C) from the four nearest neighbours.

    Returns:
        (H - 2, W - 2, C) float32, of the inner pixels, in the frame's grey levels.
    """
    levels = image.astype(np.float32)
    neighbours = (
        levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:]
    )  # (H - 2, W - 2, C)
    result: np.ndarray[Any, np.dtype[np.float32]] = abs(4 * levels[1:-1, 1:-1] - neighbours)
    return result


def sharpness(truth: Array, interpolated: Array) -> float:
    """Divide the mean absolute Laplacian of a frame by that of the ground truth.

    Args:
        truth, interpolated: (H, W, C), 8 bit.

    Returns:
        1.0 if both are as sharp or both are flat, less if the frame is blurred, more if it has
        ringing or noise; NaN if only the ground truth is flat.
    """
    return detail_ratio(float(laplacian(truth).mean()), float(laplacian(interpolated).mean()))


def detail_ratio(truth: float, interpolated: float) -> float:
    """Divide two mean absolute Laplacians in grey levels; flat content as in `sharpness`."""
    if truth < MIN_DETAIL:
        return 1.0 if interpolated < MIN_DETAIL else math.nan
    return interpolated / truth


def drop_nan(values: Iterable[float]) -> list[float]:
    """Drop NaN, which marks frames without a measure; a list of NaN alone becomes one NaN."""
    return [value for value in values if not math.isnan(value)] or [math.nan]


def to_json_values(measures: Measures) -> dict[str, float | None]:
    """Convert measures to a dict for JSON; infinity and NaN become None."""
    values = asdict(measures).items()
    return {name: value if math.isfinite(value) else None for name, value in values}


def average(first: Array, second: Array) -> Array:
    """Return the mean of two 8-bit frames, rounded."""
    return blend_images(first, second, Fraction(1, 2))


def error_map(truth: Array, interpolated: Array) -> Array:
    """Return four times the absolute difference of two 8-bit frames."""
    difference: Array = abs(interpolated.astype(int) - truth)
    return (difference * 4).clip(0, 255).astype(np.uint8)
