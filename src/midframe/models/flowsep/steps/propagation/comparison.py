"""How flow propagation compares both frames: standardised, over small windows."""

from torch import Tensor
from torch.nn import functional

MIN_DEVIATION = 1 / 255
"""Minimum of the deviation by which frames are divided."""
WINDOW_RADIUS = 2
"""Radius in pixels of the squares over which frames are compared."""


def standardise(frame: Tensor) -> Tensor:
    """Subtract each colour's mean and divide by its deviation, so that frames of a fade compare."""
    frame = frame - frame.mean((2, 3), keepdim=True)
    deviation = frame.square().mean((2, 3), keepdim=True).sqrt()
    return frame / deviation.clamp(min=MIN_DEVIATION)


def difference(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean of absolute differences over all channels and over the pixels up to
    `WINDOW_RADIUS` away, zero outside, (N, 1, h, w)."""
    absolute = (first - second).abs().mean(1, keepdim=True)
    window = 2 * WINDOW_RADIUS + 1
    return functional.avg_pool2d(absolute, window, stride=1, padding=WINDOW_RADIUS)
