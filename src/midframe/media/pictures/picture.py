"""Decoded images, and their properties."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from midframe.errors import SourceError

Array = np.ndarray[Any, Any]
UNSPECIFIED = 2
HDR_TRANSFERS = (16, 18)
"""PQ and HLG, numbered as in ISO/IEC 23091-2."""


@dataclass(frozen=True)
class ImageFormat:
    """Properties of an image that are read without decoding its pixels."""

    height: int
    """Upright, in pixels."""
    width: int
    high_bit_depth: bool
    """More than 8 bits a sample."""
    alpha: bool
    density: tuple[float, float] | None = None
    """Pixels per unit of length along x and y; None if they are equal (square pixels)."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture file."""

    image: Array
    """(H, W, 3) RGB, or (H, W, 4) with alpha, uint8 or uint16, upright."""
    icc_profile: bytes | None = None
    """For RGB; profiles of other colour spaces are dropped."""
    dropped: tuple[str, ...] = ()
    """Contents of the file that the decoded image does not have."""
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    """Transfer function of the colours, numbered as in ISO/IEC 23091-2; read only from images of
    more than 8 bits."""


def unsupported_samples(path: Path, samples: str) -> SourceError:
    """Return the error for an image of samples that are not integers of up to 16 bits."""
    return SourceError(
        f"{path} has {samples} samples, whose white level is unknown: convert it to 16-bit PNG or "
        "TIFF"
    )
