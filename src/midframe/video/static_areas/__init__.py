"""Static areas of two frames. Networks change them slightly, which is visible as flicker.

The motion of blocks of pixels is estimated as the change between both frames divided by the
contrast, which is the change by a motion of one pixel. So sharp edges of text may change by codec
noise, while a faint texture that moves slowly is interpolated. Blocks in which the interpolated
frame differs from both frames by more than the contrast are interpolated too: an object may pass
there between the two frames.
"""

from fractions import Fraction
from typing import Any

import torch

from midframe.media.pictures.images import Array
from midframe.ops.dispatch import for_device
from midframe.video.static_areas import reference

CPU = torch.device("cpu")


def keep_static(interpolated: Array, before: Array, after: Array, t: Fraction, bits: int) -> Array:
    """Replace an interpolated frame by the blend of both frames in static areas.

    Args:
        interpolated, before, after: samples of the frames, (h, w) or (h, w, C) integers.
        t: the time of the interpolated frame, from 0 to 1.
        bits: of a sample.
    """
    fast = for_device({"cpu": load_halide}, CPU) if interpolated.ndim == 2 else None
    result: Array = (fast or reference).keep_static(interpolated, before, after, t, bits)
    return result


def load_halide() -> Any:
    """Import the implementation for planes."""
    import midframe.video.static_areas.halide as halide

    return halide
