"""Shift kernels by a fraction of a pixel, so that each tap is on a whole pixel.

Linear interpolation is a low-pass filter at every fraction but 0; cubic convolution (R. Keys, IEEE
TASSP 29(6), 1981, a = -1/2) keeps more of the high frequencies and needs two taps more.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Resampling = Literal["linear", "cubic"]
"""Interpolation between pixels."""
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)
EXTRA_TAPS = {"linear": 1, "cubic": 3}
"""Additional taps of a shifted kernel, by resampling."""


def check_resampling(resampling: str) -> None:
    """Raise a ValueError that lists the allowed values unless `resampling` is one of them."""
    if resampling not in RESAMPLINGS:
        raise ValueError(f"resampling is {resampling!r}: choose from {', '.join(RESAMPLINGS)}")


def taps_before(resampling: str) -> int:
    """Taps of a shifted kernel before the first tap of the kernel."""
    return EXTRA_TAPS[resampling] // 2


def shift_weights(fraction: Any, resampling: str) -> tuple[Any, ...]:
    """Return the weights that distribute a tap over the pixels around it, from left to right.

    Args:
        fraction: how far the tap lies to the right of a whole pixel, in [0, 1); anything that can
            be multiplied and added (a tensor, a Halide expression).
        resampling: "linear" for the pixels at offsets 0 and 1, "cubic" for -1 to 2.
    """
    p = fraction
    if resampling == "linear":
        return 1.0 - p, p
    return (
        ((1.0 - 0.5 * p) * p - 0.5) * p,
        (1.5 * p - 2.5) * p * p + 1.0,
        ((2.0 - 1.5 * p) * p + 0.5) * p,
        (0.5 * p - 0.5) * p * p,
    )


def shift_weight_slopes(fraction: Any, resampling: str) -> tuple[Any, ...]:
    """Return the derivatives of `shift_weights` with respect to the fraction."""
    p = fraction
    if resampling == "linear":
        return 0.0 * p - 1.0, 0.0 * p + 1.0
    return (
        (2.0 - 1.5 * p) * p - 0.5,
        (4.5 * p - 5.0) * p,
        (4.0 - 4.5 * p) * p + 0.5,
        (1.5 * p - 1.0) * p,
    )


def interpolation_weight(distance: Tensor, resampling: str) -> Tensor:
    """Return the weight of a pixel by its distance from a position along one axis: 0 from a
    distance of 1 (linear) or 2 (cubic) on."""
    d = distance.abs()
    if resampling == "linear":
        return (1 - d).clamp(min=0)
    near, far = (1.5 * d - 2.5) * d * d + 1, ((2.5 - 0.5 * d) * d - 4) * d + 2
    return torch.where(d < 1, near, far * (d < 2))


def shift_kernel(kernel: Tensor, fraction: Tensor, resampling: str) -> Tensor:
    """Shift a kernel (N, K, H, W) to the right by a fraction (N, H, W): (N, K', H, W), K' being
    K + 1 or K + 3.

    `shifted[k] = sum_m weight_m(fraction) * kernel[k - m]`, with `shift_weights`.
    """
    taps = kernel.shape[1]
    first, *others = (kernel * weight[:, None] for weight in shift_weights(fraction, resampling))
    result = functional.pad(first, (0, 0, 0, 0, 0, len(others)))
    for offset, shifted in enumerate(others, start=1):
        result[:, offset : offset + taps] += shifted
    return result


def shift_kernel_gradients(
    gradient: Tensor, kernel: Tensor, fraction: Tensor, resampling: str
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the fraction, (N, H, W), and of the kernel, (N, K, H, W), from the
    gradient of the result of `shift_kernel`, (N, K', H, W)."""
    taps = kernel.shape[1]
    grad_fraction = torch.zeros_like(fraction)
    grad_kernel = torch.zeros_like(kernel)
    weights = shift_weights(fraction, resampling)
    slopes = shift_weight_slopes(fraction, resampling)
    for offset, (weight, slope) in enumerate(zip(weights, slopes, strict=True)):
        grad_shifted = gradient[:, offset : offset + taps]
        grad_fraction += slope * (grad_shifted * kernel).sum(1)
        grad_kernel += weight[:, None] * grad_shifted
    return grad_fraction, grad_kernel
