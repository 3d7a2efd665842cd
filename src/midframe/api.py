"""One-line functions for programs that do not keep an Interpolator."""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import overload

import torch

from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.options import EnsembleSize, InterpolationOptions, Precision


@overload
def interpolate(
    first: Array,
    second: Array,
    *,
    model: str = ...,
    device: str | torch.device = ...,
    scale: int | None = ...,
    ensemble: EnsembleSize = ...,
    precision: Precision = ...,
) -> Array: ...
@overload
def interpolate(
    first: Array,
    second: Array,
    *,
    times: Sequence[float | Fraction],
    model: str = ...,
    device: str | torch.device = ...,
    scale: int | None = ...,
    ensemble: EnsembleSize = ...,
    precision: Precision = ...,
) -> list[Array]: ...
def interpolate(
    first: Array,
    second: Array,
    *,
    times: Sequence[float | Fraction] | None = None,
    model: str = InterpolationOptions.model,
    device: str | torch.device = InterpolationOptions.device,
    scale: int | None = InterpolationOptions.scale,
    ensemble: EnsembleSize = InterpolationOptions.ensemble,
    precision: Precision = InterpolationOptions.precision,
) -> Array | list[Array]:
    """Interpolate the middle of two frames, or the frames at several times between them.

    Weights are loaded at the first call and kept, until their file changes.

    Args:
        first, second: (H, W, 3) RGB, uint8 or uint16, of one size and type.
        times: from 0 to 1; None for the middle alone.
        model: name or file of weights.
        device, scale, ensemble, precision: as in `Interpolator`.

    Returns:
        One array like the frames, or a list of one for each time.

    Raises:
        ValueError: the frames do not fit together, or a time lies outside [0, 1].

    Examples:
        >>> import numpy as np
        >>> grey = np.full((48, 64, 3), 128, np.uint8)
        >>> interpolate(grey, grey).shape
        (48, 64, 3)
    """
    interpolator = _interpolator(model, str(device), scale, ensemble, precision, _version_of(model))
    if times is None:
        return interpolator.interpolate(first, second)
    return interpolator.interpolate_many(first, second, times)


@lru_cache(maxsize=8)
def _interpolator(
    model: str,
    device: str,
    scale: int | None,
    ensemble: EnsembleSize,
    precision: Precision,
    version: tuple[int, int] | None,
) -> Interpolator:
    """Return an interpolator, created once for each version of a file of weights."""
    return Interpolator(model, device=device, scale=scale, ensemble=ensemble, precision=precision)


def _version_of(model: str) -> tuple[int, int] | None:
    """Return the size and the time of change of a file of weights; None for a name."""
    try:
        found = Path(model).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
