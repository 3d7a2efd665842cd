"""The plan of a batch (dry run), with estimates of time and disk space."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from midframe.batch.films import Film
from midframe.batch.run import Batch
from midframe.errors import MidframeError, OptionError
from midframe.interpolator import Interpolator
from midframe.media.pictures.decoding import Array
from midframe.media.reading.sources import open_source
from midframe.ops.workers import Workers
from midframe.video.timeline import choose_timeline

MIN_SECONDS = 1.0
"""Minimum duration of a speed measurement, after one round that is not counted."""


@dataclass(frozen=True)
class FilmPlan:
    """The plan of a film: estimates from the packets of the source and a speed measurement."""

    film: Film
    done: bool = False
    """It has a finished result with the same options."""
    error: str = ""
    """Why it cannot be read."""
    width: int = 0
    height: int = 0
    frames: int = 0
    """Number of frames of the result."""
    interpolated: int = 0
    """Minimum number of interpolated frames."""
    seconds: float = 0.0
    """Duration of interpolation; decoding and encoding run in parallel, and may take longer."""
    disk_bytes: int = 0
    """Size of the result, assuming that a frame has the same size as in the source."""


def plan(batch: Batch, films: Iterable[Film]) -> Iterator[FilmPlan]:
    """Yield the plan of each film.

    Args:
        batch: options and network.
        films: to plan; their packets and first frames are read.
    """
    speeds: dict[tuple[int, int], float] = {}
    for film in films:
        try:
            yield _plan_film(batch, film, speeds)
        except (MidframeError, OptionError, OSError) as error:
            yield FilmPlan(film, error=str(error))


def _plan_film(batch: Batch, film: Film, speeds: dict[tuple[int, int], float]) -> FilmPlan:
    if batch.is_done(film):
        return FilmPlan(film, done=True)
    with open_source(film.source, batch.options.source) as reader:
        picture, _ = reader.first_picture()
        count = round(reader.expected_frames or 0)
        timeline = choose_timeline(reader.source_rate, reader.time_base, batch.options.retiming)
        length = Fraction(count) / reader.rate * timeline.slow
        frames = round(length * timeline.rate)
    size = (picture.height, picture.width)
    if size not in speeds:
        speeds[size] = seconds_per_frame(batch.tool, *size)
    interpolated = max(0, frames - count)
    return FilmPlan(
        film,
        width=picture.width,
        height=picture.height,
        frames=frames,
        interpolated=interpolated,
        seconds=interpolated * speeds[size],
        disk_bytes=round(film.source.stat().st_size * frames / max(1, count)),
    )


def seconds_per_frame(tool: Interpolator, height: int, width: int) -> float:
    """Measure the seconds per interpolated frame of some size, with parallel pairs as for a video.

    Args:
        tool: interpolates the frames.
        height, width: of the frames.
    """
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    count = tool.pairs_at_once(height, width)
    with Workers(count) as workers:
        _interpolate(tool, workers, first, second, count)  # compiles kernels
        begin, rounds = time.perf_counter(), 0
        while time.perf_counter() - begin < MIN_SECONDS:
            _interpolate(tool, workers, first, second, count)
            rounds += 1
        return (time.perf_counter() - begin) / (rounds * count)


def _interpolate(
    tool: Interpolator, workers: Workers, first: Array, second: Array, count: int
) -> None:
    futures = [workers.submit(tool.interpolate, first, second) for _ in range(count)]
    for future in futures:
        future.result()
