"""A comparison video: the original on the left, interpolated on the right, slowed down."""

import logging
from collections.abc import Callable
from pathlib import Path

from midframe.interpolator import Interpolator
from midframe.media.reading.source import WHOLE_SOURCE, TimeRange
from midframe.options import (
    CompareOptions,
    EncodingOptions,
    EnsembleSize,
    InterpolationOptions,
    Precision,
    RetimingOptions,
    SourceOptions,
    VideoOptions,
)
from midframe.outputs import real_path
from midframe.video.pipeline import choose_interpolation, interpolate_source
from midframe.video.sinks.comparison import ComparisonTarget

log = logging.getLogger(__name__)


def compare_video(
    source: str | Path,
    target: str | Path,
    *,
    factor: int = CompareOptions.factor,
    slower: int = CompareOptions.slower,
    time_range: TimeRange = WHOLE_SOURCE,
    model: str | Interpolator = InterpolationOptions.model,
    device: str = InterpolationOptions.device,
    tile: int | None = InterpolationOptions.tile,
    scale: int | None = InterpolationOptions.scale,
    ensemble: EnsembleSize = InterpolationOptions.ensemble,
    precision: Precision = InterpolationOptions.precision,
    codec: str | None = EncodingOptions.codec,
    crf: int = EncodingOptions.crf,
    cut_threshold: float = SourceOptions.cut_threshold,
    overwrite: bool = False,
    progress: Callable[[float, float | None], None] | None = None,
) -> int:
    """Write a video with the original beside the interpolated one, slowed down, with labels and
    without sound. The frames on the right are those of `interpolate_video`.

    Args:
        source, target, model, device, tile, scale, ensemble, precision, codec, crf, cut_threshold,
            overwrite: as in `interpolate_video`.
        factor, slower: as in `CompareOptions`.
        time_range: of the source to show.
        progress: called with the number of finished source frames, and their total if known.

    Returns:
        The number of source frames shown.

    Raises:
        OptionError: an option has a value that it cannot have.
        VideoError: the source cannot be read, the time range lies outside of it, or the target
            cannot be written.
    """
    return convert_comparison(
        Path(source),
        Path(target),
        choose_interpolation(
            model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision
        ),
        CompareOptions(factor, slower),
        SourceOptions(time_range.start, time_range.end, cut_threshold=cut_threshold),
        EncodingOptions(codec, crf),
        overwrite=overwrite,
        progress=progress,
    )


def convert_comparison(
    source: Path,
    target: Path,
    interpolation: InterpolationOptions | Interpolator,
    comparison: CompareOptions,
    reading: SourceOptions,
    encoding: EncodingOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[float, float | None], None] | None = None,
) -> int:
    """Write a comparison with options in dataclasses; see `compare_video`."""
    encoding = encoding or EncodingOptions()
    # vfr, because the left side shows each source frame at its own time
    retiming = RetimingOptions(factor=comparison.factor, slow=comparison.slower, vfr=True)
    report = interpolate_source(
        source,
        ComparisonTarget(real_path(target), encoding, comparison),
        interpolation,
        VideoOptions(retiming, reading, encoding),
        overwrite=overwrite,
        progress=progress,
    )
    problems = (*report.problems, *report.warnings)
    for text in (*problems, *(f"damaged: {place}" for place in report.damage)):
        log.warning("%s: %s", source, text)
    return report.frames_in
