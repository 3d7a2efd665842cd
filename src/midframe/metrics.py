"""Metrics of image quality."""

import math

import torch
from torch import Tensor


def psnr(image: Tensor, truth: Tensor) -> float:
    """Compute the peak signal-to-noise ratio in dB of two images in [0, 1], rounded to 8 bit first.

    It equals that of scikit-image for the rounded images, and is infinite if they are equal.
    """
    rounded = (image.clamp(0, 1) * 255).round()
    expected = (truth.clamp(0, 1) * 255).round()
    error = torch.mean((rounded.double() - expected.double()) ** 2).item()
    return 10 * math.log10(255**2 / error) if error else math.inf
