"""Interpolating a video, in three threads and a pool of workers (see `RenderJob.render`).

    reader thread    source.read
                       |  queue
    this thread      plan -> renderer, which submits pairs of frames to the workers
                       |  queue
    writer thread    sink.write

Both queues are short, so memory does not grow with the length of the video. `interpolate_video` and
`compare_video` differ only in the target.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from midframe.errors import OptionError, VideoError
from midframe.interpolator import Interpolator
from midframe.media.colour.side_data import has_dolby_colours
from midframe.media.reading.sources import changes_of, identity_of
from midframe.media.writing.encoder_options import playback_warning
from midframe.options import (
    CutMode,
    EncodingOptions,
    EnsembleSize,
    InterpolationOptions,
    Precision,
    RetimingOptions,
    SourceOptions,
    VideoOptions,
)
from midframe.rates import Rate
from midframe.times import Time
from midframe.video.plan import Extent
from midframe.video.render_job import NetworkProperties, RenderJob, open_render_job, result_settings
from midframe.video.report import VideoReport, frame_warnings
from midframe.video.sinks.protocol import Conversion, Sink, Target, abort_on_error, lost_side_data
from midframe.video.sinks.targets import target_for

VideoProgress = Callable[[float, float | None], None]
"""Callback with the number of finished source frames, fractional while a pair is interpolated, and
their total if it is known."""

RenderAll = Callable[[RenderJob, Sink], Extent]
"""Writes all frames of a result into its sink and counts them in the report; returns the extent of
the result."""

log = logging.getLogger(__name__)


def interpolate_video(
    source: str | Path,
    target: str | Path,
    *,
    factor: Rate | None = RetimingOptions.factor,
    fps: Rate | None = RetimingOptions.fps,
    slow: Rate | None = RetimingOptions.slow,
    vfr: bool = RetimingOptions.vfr,
    mute: bool = EncodingOptions.mute,
    start: Time = SourceOptions.start,
    end: Time | None = SourceOptions.end,
    source_fps: Rate | None = SourceOptions.source_fps,
    deinterlace: bool = SourceOptions.deinterlace,
    dedup: bool = RetimingOptions.dedup,
    overlays: bool = RetimingOptions.overlays,
    model: str | Interpolator = InterpolationOptions.model,
    device: str = InterpolationOptions.device,
    tile: int | None = InterpolationOptions.tile,
    scale: int | None = InterpolationOptions.scale,
    ensemble: EnsembleSize = InterpolationOptions.ensemble,
    precision: Precision = InterpolationOptions.precision,
    codec: str | None = EncodingOptions.codec,
    crf: int = EncodingOptions.crf,
    preset: str | None = EncodingOptions.preset,
    encoder_options: Mapping[str, str] | None = EncodingOptions.encoder_options,
    cut: CutMode = RetimingOptions.cut,
    cut_threshold: float = SourceOptions.cut_threshold,
    strict: bool = SourceOptions.strict,
    hwaccel: str | None = SourceOptions.hwaccel,
    overwrite: bool = False,
    resume: bool = False,
    progress: VideoProgress | None = None,
) -> VideoReport:
    """Interpolate a video to another frame rate or to slow motion, with its other streams.

    The result has a constant frame rate if the source has one, or if `fps` or a fractional `factor`
    is given; other results keep the times of the source frames. Source frames are shown unchanged
    at their times; other frames are interpolated at the nearest time that the network supports, and
    the report states the largest difference. The last frame is held for its duration. Sound is
    copied if the container supports its codec and `slow` is not given.

    Interrupted work can be resumed: finished segments are kept in `TARGET.midframe/`.

    Args:
        source: a video that FFmpeg reads, a GIF or APNG, a folder of images or a pattern such as
            `frames/%06d.png`, or "-" for y4m in standard input.
        target: the result, ending in .mp4, .m4v, .mkv, .mov, .webm, .avi, .ts, .m2ts, .gif or
            .apng; a pattern for images; or "-" for y4m in standard output. The file appears when it
            is complete.
        factor, fps, slow, vfr, cut, dedup, overlays: as in `RetimingOptions`.
        start, end, source_fps, deinterlace, cut_threshold, strict, hwaccel: as in `SourceOptions`.
        codec, crf, preset, encoder_options, mute: as in `EncodingOptions`.
        model: name or file of weights, or an Interpolator, which has the options below.
        device, tile, scale, ensemble, precision: as in `InterpolationOptions`.
        overwrite: replace a target that exists, if midframe wrote it.
        resume: continue interrupted work on this target; nothing is done if it is complete.
        progress: called with the number of finished source frames, and their total if known.

    Returns:
        The numbers of read, kept, interpolated and held frames, the converted and dropped streams,
        and the faults that the final check of the result found (`problems`).

    Raises:
        OptionError: an option has an invalid value, or two options exclude each other.
        VideoError: the source cannot be read, or the target cannot be written. Only finished
            segments are kept, for resuming.
    """
    options = VideoOptions(
        RetimingOptions(factor, fps, slow, vfr=vfr, cut=cut, dedup=dedup, overlays=overlays),
        SourceOptions(
            start,
            end,
            source_fps=source_fps,
            deinterlace=deinterlace,
            cut_threshold=cut_threshold,
            strict=strict,
            hwaccel=hwaccel,
        ),
        EncodingOptions(codec, crf, preset, encoder_options, mute=mute),
    )
    return convert_video(
        Path(source),
        Path(target),
        choose_interpolation(
            model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision
        ),
        options,
        overwrite=overwrite,
        resume=resume,
        progress=progress,
    )


def choose_interpolation(
    model: str | Interpolator, **options: Any
) -> InterpolationOptions | Interpolator:
    """Return the options of interpolation, or an Interpolator, which has its own.

    Args:
        model: name or file of weights, or an Interpolator.
        options: other fields of `InterpolationOptions`.

    Raises:
        OptionError: an option has an invalid value, or is given beside an Interpolator.
    """
    if isinstance(model, Interpolator):
        for name, value in options.items():
            if value not in (getattr(InterpolationOptions, name), getattr(model.options, name)):
                raise OptionError(
                    f"`{name}` is {value!r} and `model` is an Interpolator, which has options of "
                    f"its own: create it with this `{name}`"
                )
        return model
    return InterpolationOptions(model, **options)


def convert_video(
    source: Path,
    target: Path,
    interpolation: InterpolationOptions | Interpolator,
    options: VideoOptions,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: VideoProgress | None = None,
) -> VideoReport:
    """Interpolate a video with options in dataclasses; see `interpolate_video`."""
    return interpolate_source(
        source,
        target_for(target, options.encoding),
        interpolation,
        options,
        overwrite=overwrite,
        resume=resume,
        progress=progress,
    )


def interpolate_source(
    path: Path,
    target: Target,
    interpolation: InterpolationOptions | Interpolator,
    options: VideoOptions,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: VideoProgress | None = None,
) -> VideoReport:
    """Interpolate a source into a target; see `interpolate_video`."""
    target.check(path, overwrite=overwrite, resume=resume)
    interpolator = (
        interpolation
        if isinstance(interpolation, Interpolator)
        else Interpolator.from_options(interpolation)
    )

    def run(render_job: RenderJob, sink: Sink) -> Extent:
        return _run(render_job, sink, interpolator, progress)

    return render_result(
        run, path, target, interpolator, options, overwrite=overwrite, resume=resume
    )


def render_result(
    run: RenderAll,
    path: Path,
    target: Target,
    network: NetworkProperties,
    options: VideoOptions,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> VideoReport:
    """Interpolate a source into a target, whose frames a function writes.

    Args:
        run: see `RenderAll`.
        network: that `run` interpolates with.
        path, options, overwrite, resume: as in `interpolate_source`.
        target: which `Target.check` has accepted.
    """
    resolved_options = replace(options, encoding=target.options)
    settings = result_settings(identity_of(path), network, resolved_options)
    if resume and target.is_complete(settings, overwrite=overwrite):
        return VideoReport(already_complete=True)
    with open_render_job(path, target, network, options, settings) as render_job:
        conversion = render_job.conversion
        if conversion.picture.interlaced_frame and not options.source.deinterlace:
            log.warning("%s is interlaced: use --deinterlace for progressive frames", path)
        if has_dolby_colours(conversion.source.contents.description):
            log.warning(
                "%s has the colours of Dolby Vision (profile 5), which become green and purple "
                "without its metadata, and the result cannot have these: convert it to HDR10 or "
                "SDR first (FFmpeg's filter libplacebo does that)",
                path,
            )
        sink = target.begin(conversion, resume=resume, overwrite=overwrite)
        warning = playback_warning(sink.encoding.encoder, sink.encoding.pixel_format)
        if warning and options.encoding.codec is None:
            log.warning("%s", warning)
        with abort_on_error(sink.abort):
            _log_plan(conversion, sink)
            extent = run(render_job, sink)
            _check_again(target, path, overwrite=overwrite)
            sink.finish(extent)
            _complete_report(conversion, sink, extent)
            conversion.report.problems += tuple(changes_of(path, settings["video"]))
    return conversion.report


def _check_again(target: Target, source: Path, *, overwrite: bool) -> None:
    """Check that the result does not replace what was written to its place during the work."""
    try:
        target.check(source, overwrite=overwrite)
    except VideoError as error:
        raise VideoError(f"the place of the result was changed during the work: {error}") from error


def _log_plan(conversion: Conversion, sink: Sink) -> None:
    source, encoding = conversion.source, sink.encoding
    size = (
        f"{conversion.picture.width}x{conversion.picture.height} {conversion.picture.format.name}"
    )
    regular = "constant" if source.source_rate.regular else "variable"
    log.info("source: %s, %s rate of %.3f frames/s", size, regular, source.rate)
    options = " ".join(f"{name}={value}" for name, value in encoding.options.items())
    log.info(
        "result: %s %s, %.3f frames/s, options %s",
        encoding.encoder,
        encoding.pixel_format,
        encoding.rate,
        options,
    )
    if sink.finished:
        log.info("resuming: %d segments are finished", sink.finished)


def _run(
    render_job: RenderJob, sink: Sink, interpolator: Interpolator, progress: VideoProgress | None
) -> Extent:
    """Render all frames and write them to the sink; return the extent of the result."""

    def report_progress(done: float) -> None:
        if progress:
            progress(done, render_job.conversion.source.expected_frames)

    render_job.render(
        interpolator,
        sink.write,
        sink.check_progress,
        render_job.count,
        finished=sink.finished,
        progress=report_progress,
    )
    assert render_job.extent, "the plan is complete"
    return render_job.extent


def _complete_report(conversion: Conversion, sink: Sink, extent: Extent) -> None:
    """Add durations, losses, damage and warnings to the report of a complete result."""
    source, report = conversion.source, conversion.report
    report.length_in = (extent.source_end - extent.source_begin) * conversion.timeline.slow
    report.duplicates = source.frames_read - report.frames_in
    report.dropped = (*report.dropped, *lost_side_data(conversion, sink, extent))
    report.damage = (*source.damage.places, *report.damage)
    report.warnings = (*source.warnings, *frame_warnings(report), *report.warnings)
