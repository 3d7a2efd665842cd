"""Measure an interpolated frame against the ground truth, by the protocol of the literature.

The interpolated frame has been clipped, multiplied by 255 and rounded to 8 bit. PSNR and SSIM of
RGB equal those of scikit-image with its defaults, which published figures use. Sharpness is the
mean absolute Laplacian of the interpolated frame, divided by that of the ground truth.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from midframe.media.pictures.images import Array, blend_images

Integers = np.ndarray[Any, np.dtype[np.int64]]

SSIM_WINDOW = 7
"""Height and width of the window over which SSIM is computed, in pixels."""
SSIM_MEANS, SSIM_VARIANCES = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""The constants C1 and C2 of SSIM for 8 bit, 6.5 and 58.5."""
MAX_PSNR = 100.0
"""PSNR of equal frames in means, in dB."""
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


FIRST_FRAME, AVERAGE = "first frame", "average"
"""Names of the baselines that show the first frame, and the mean of both frames."""
COLUMNS = tuple(Measures.__dataclass_fields__)
"""The names of all measures, in the order of `Measures`."""


def measure(truth: Array, interpolated: Array) -> Measures:
    """Compare 8-bit frames (H, W, 3)."""
    error = float(abs(interpolated.astype(int) - truth).mean())
    return Measures(
        psnr(truth, interpolated),
        ssim(truth, interpolated),
        error,
        sharpness(truth, interpolated),
    )


def psnr(truth: Array, interpolated: Array) -> float:
    """Compute the peak signal-to-noise ratio in dB of 8-bit frames; infinite if they are equal."""
    error = float(np.mean((truth.astype(float) - interpolated) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(truth: Array, interpolated: Array) -> float:
    """Compute the structural similarity of 8-bit frames (H, W, C), the mean over their channels.

    As in scikit-image, windows are uniform, variances are those of samples, and windows that leave
    the frame are omitted.

    Raises:
        ValueError: the frames differ in size, or are smaller than a window.

    Source: Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment (2004), equation 13.
    """
    if truth.shape != interpolated.shape or min(truth.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"frames of {truth.shape[:2]} and {interpolated.shape[:2]} cannot be compared: they "
            f"must have one size, of at least {SSIM_WINDOW} rows and columns"
        )
    count = SSIM_WINDOW**2
    x, y = truth.astype(np.int64), interpolated.astype(np.int64)
    sum_x, sum_y = window_sums(x), window_sums(y)  # (H - 6, W - 6, C)
    scatter_x = count * window_sums(x * x) - sum_x * sum_x  # count (count - 1) variance
    scatter_y = count * window_sums(y * y) - sum_y * sum_y
    scatter = count * window_sums(x * y) - sum_x * sum_y
    means, variances = SSIM_MEANS * count**2, SSIM_VARIANCES * count * (count - 1)
    similarity = (2 * sum_x * sum_y + means) * (2 * scatter + variances)
    similarity /= (sum_x * sum_x + sum_y * sum_y + means) * (scatter_x + scatter_y + variances)
    return float(similarity.mean())


def window_sums(values: Integers) -> Integers:
    """Sum integers (H, W, C) over all windows within them, (H - 6, W - 6, C)."""
    for axis in (0, 1):
        padded = np.insert(values, 0, 0, axis=axis).cumsum(axis=axis)
        upper = np.delete(padded, np.s_[:SSIM_WINDOW], axis=axis)
        values = upper - np.delete(padded, np.s_[-SSIM_WINDOW:], axis=axis)
    return values


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


def values_for_mean(values: Iterable[float]) -> list[float]:
    """Drop NaN, which marks frames without a measure, and limit the infinite PSNR of equal frames
    to `MAX_PSNR`; a list of NaN alone becomes one NaN."""
    given = [value for value in values if not math.isnan(value)] or [math.nan]
    return [MAX_PSNR if value == math.inf else value for value in given]


def to_json_values(measures: Measures) -> dict[str, float | None]:
    """Convert measures to a dict for JSON; infinity and NaN become None."""
    values = asdict(measures).items()
    return {name: value if math.isfinite(value) else None for name, value in values}


def average(first: Array, second: Array, t: Fraction = Fraction(1, 2)) -> Array:
    """Return the mean of two 8-bit frames, the second with the weight `t`, rounded."""
    return blend_images(first, second, t)


def error_map(truth: Array, interpolated: Array) -> Array:
    """Return four times the absolute difference of two 8-bit frames."""
    difference: Array = abs(interpolated.astype(int) - truth)
    return (difference * 4).clip(0, 255).astype(np.uint8)
