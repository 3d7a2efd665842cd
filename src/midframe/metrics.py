"""How far a frame is from the truth."""

import math

import torch
from torch import Tensor


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two images in [0, 1], after rounding both to 8 bit.

    The same as scikit-image's on the rounded images; infinite where they are equal.
    """
    rounded, expected = ((each.clamp(0, 1) * 255).round() for each in (image, truth))
    error = torch.mean((rounded.double() - expected.double()) ** 2).item()
    return 10 * math.log10(255**2 / error) if error else math.inf
