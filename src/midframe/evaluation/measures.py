"""Measure an interpolated frame against the ground truth, by the protocol of the literature.

The interpolated frame has been clipped, multiplied by 255 and rounded to 8 bit. PSNR and SSIM are
computed by scikit-image on RGB with its defaults.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from midframe.images import Array, blended

SSIM_WINDOW = 7
"""Minimum height and width for SSIM in scikit-image, in pixels."""


@dataclass(frozen=True)
class Measures:
    """Measurements of one frame."""

    psnr: float
    """In dB; infinite where the frames are equal."""
    ssim: float
    error: float
    """Interpolation error: mean absolute difference in grey levels, as in papers since RIFE
    (2020)."""


def measure(truth: Array, interpolated: Array) -> Measures:
    """Compare 8-bit frames (H, W, 3)."""
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(truth, interpolated, data_range=255)
    ssim = structural_similarity(truth, interpolated, data_range=255, channel_axis=2)
    return Measures(float(psnr), float(ssim), float(abs(interpolated.astype(int) - truth).mean()))


def average(first: Array, second: Array) -> Array:
    """Return the mean of two 8-bit frames, rounded."""
    return blended(first, second, Fraction(1, 2))


def error_map(truth: Array, interpolated: Array) -> Array:
    """Return four times the absolute difference of two 8-bit frames."""
    difference: Array = abs(interpolated.astype(int) - truth)
    return (difference * 4).clip(0, 255).astype(np.uint8)
