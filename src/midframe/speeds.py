"""The measured speed of interpolation on this machine."""

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from midframe.interpolator import Interpolator
from midframe.media.pictures.images import Array
from midframe.ops.workers import Workers

SIZES: Mapping[str, tuple[int, int]] = {
    "480p": (480, 854),
    "720p": (720, 1280),
    "1080p": (1080, 1920),
}
"""Heights and widths of frames."""
MIN_SECONDS, MAX_SECONDS = 2.0, 20.0
"""Minimum duration of a measurement, and maximum duration of one frame; larger sizes are not
measured."""
ESTIMATE_SECONDS = 1.0
"""Minimum duration of a measurement for an estimate."""
MOTION = 8
"""Pixels by which the second frame is shifted."""

SpeedProgress = Callable[[str, str, float], None]
"""Called with a model, a size and the measured frames per second."""


def measure_speeds(
    models: Iterable[str], progress: SpeedProgress | None = None, **options: Any
) -> dict[str, dict[str, float | None]]:
    """Measure how many frames per second models interpolate on this machine.

    Args:
        models: names or files of weights.
        progress: see `SpeedProgress`.
        options: of `Interpolator`.

    Returns:
        Frames per second by model and size, with parallel pairs as in `midframe video`, without
        decoding and encoding; None if a frame would take longer than `MAX_SECONDS`.
    """
    found: dict[str, dict[str, float | None]] = {}
    for model in models:
        interpolator = Interpolator(model, **options)
        seconds_per_pixel = 0.0
        found[model] = {}
        for name, (height, width) in SIZES.items():
            if seconds_per_pixel * height * width > MAX_SECONDS:
                found[model][name] = None
                continue
            rate = measure_rate(interpolator, *make_frames(height, width))
            if progress:
                progress(model, name, rate)
            seconds_per_pixel = 1 / (rate * height * width)
            found[model][name] = round(rate, 2)
    return found


def measure_rate(
    interpolator: Interpolator, first: Array, second: Array, seconds: float | None = None
) -> float:
    """Return the number of interpolated frames per second, with parallel pairs as for a video.

    Args:
        interpolator: interpolates.
        first, second: the frames.
        seconds: minimum duration of the measurement; None for `MIN_SECONDS`.
    """
    pairs = interpolator.pairs_at_once(*first.shape[:2])
    with Workers(pairs) as workers:

        def interpolate() -> None:
            list(workers.map(lambda _: interpolator.interpolate(first, second), range(pairs)))

        interpolate()  # compiles kernels, which each worker has for itself
        count = 0
        begin = perf_counter()
        while (passed := perf_counter() - begin) < (MIN_SECONDS if seconds is None else seconds):
            interpolate()
            count += pairs
    return count / passed


def make_frames(height: int, width: int) -> tuple[Array, Array]:
    """Return two frames of smooth waves, the second one shifted."""
    rows, columns = np.mgrid[0:height, 0 : width + MOTION].astype(np.float32)
    waves = [np.sin(columns / (7 + n)) * np.cos(rows / (5 + n)) for n in range(3)]
    image = np.rint(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)
    return image[:, MOTION:].copy(), image[:, :-MOTION].copy()
