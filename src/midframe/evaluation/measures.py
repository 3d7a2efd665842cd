"""How near a made frame is to the truth, by the protocol of the field.

The made frame has been clipped, multiplied by 255 and rounded to 8 bit; PSNR and SSIM are scikit-image's on RGB with
its defaults.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from midframe.images import Array, blended

SSIM_WINDOW = 7
"""Smallest height and width that scikit-image measures the SSIM of, in pixels."""


@dataclass(frozen=True)
class Measures:
    """What is measured of one frame."""

    psnr: float
    """In dB; infinite where the frames are equal."""
    ssim: float
    error: float
    """Interpolation error: the mean absolute difference, in grey levels, as papers since RIFE (2020) report it."""


def measure(truth: Array, made: Array) -> Measures:
    """Compare 8-bit frames (H, W, 3)."""
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(truth, made, data_range=255)
    ssim = structural_similarity(truth, made, data_range=255, channel_axis=2)
    return Measures(float(psnr), float(ssim), float(abs(made.astype(int) - truth).mean()))


def average(first: Array, second: Array) -> Array:
    """The mean of two 8-bit frames, rounded."""
    return blended(first, second, Fraction(1, 2))


def error_map(truth: Array, made: Array) -> Array:
    """Four times the difference of two 8-bit frames."""
    difference: Array = abs(made.astype(int) - truth)
    return (difference * 4).clip(0, 255).astype(np.uint8)
