"""Interpolating a video: a thread that reads, this one, workers that interpolate, and one that
writes.

    reader thread: demux, decode, find cuts  ->  queue  ->  retimer, workers  ->  queue  ->  writer
        thread: encode

Both queues are short, so memory does not grow with the film. What is encoded is kept in segments
until all of it is there; then it is joined with the source's other streams.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

from midframe.errors import MidframeError
from midframe.interpolator import Interpolator
from midframe.media.reading.duplicates import without_duplicates
from midframe.media.reading.reader import Frame, VideoReader
from midframe.media.reading.sources import identity_of, open_source
from midframe.ops.workers import Workers
from midframe.options import (
    CutMode,
    EncodingOptions,
    EnsembleSize,
    InterpolationOptions,
    Precision,
    RetimingOptions,
    SourceOptions,
    VideoOptions,
    fingerprint,
)
from midframe.rates import Rate
from midframe.video.channel import POLL_SECONDS, Channel, guard
from midframe.video.report import VideoReport
from midframe.video.retimer import Output, Progress, Retimer
from midframe.video.target import Job, Target
from midframe.video.targets import target_for
from midframe.video.timeline import choose_timeline

LEAVE_SECONDS = 30.0
"""How long a thread may take for what it is doing once the work has failed or was stopped."""

log = logging.getLogger(__name__)


def interpolate_video(
    source: str | Path,
    target: str | Path,
    *,
    factor: int | None = RetimingOptions.factor,
    fps: Rate | None = RetimingOptions.fps,
    slow: Rate | None = RetimingOptions.slow,
    vfr: bool = RetimingOptions.vfr,
    mute: bool = EncodingOptions.mute,
    start: float = SourceOptions.start,
    end: float | None = SourceOptions.end,
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
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> VideoReport:
    """Write a video again at another frame rate, with all its streams, at its own speed or slower.

    The result has a constant frame rate. A time that falls on a source frame shows that frame
    unchanged; others are interpolated at the nearest time that the network supports, and the report
    states the largest difference. The last frame is held for as long as it was shown. Sound packets
    are copied.

    Interrupted work can be resumed: finished segments are kept in `TARGET.midframe/`.

    Args:
        source: a video that FFmpeg reads, a GIF or APNG, a folder of pictures or a pattern such as
            `frames/%06d.png`, or "-" for a stream in standard input, as y4m.
        target: the result, ending in .mp4, .m4v, .mkv, .mov, .webm, .avi, .ts, .m2ts, .gif or
            .apng; a pattern for pictures; or "-" for y4m in standard output. It appears when it is
            complete.
        factor, fps, slow, vfr, cut, dedup, overlays: as in `RetimingOptions`.
        start, end, source_fps, deinterlace, cut_threshold, strict: as in `SourceOptions`.
        codec, crf, preset, encoder_options, mute: as in `EncodingOptions`.
        model: name or file of weights, or an Interpolator, whose own options then count.
        device, tile, scale, ensemble, precision: as in `InterpolationOptions`.
        overwrite: replace a target that exists, if midframe wrote it.
        resume: continue interrupted work on this target; nothing is done if it is complete.
        progress: called with the number of source frames that are done, and their total, if known.

    Returns:
        How many frames were read, kept, interpolated and held, what became of other streams, and
        whether the result, read again, has all it should (`problems`).

    Raises:
        OptionError: an option has a value that it cannot have, or excludes another.
        VideoError: the source cannot be read, or the target cannot be written. Nothing is left
            behind but segments that can be resumed, if the source is not at fault.
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
        ),
        EncodingOptions(codec, crf, preset, encoder_options, mute=mute),
    )
    interpolation: InterpolationOptions | Interpolator = (
        model
        if isinstance(model, Interpolator)
        else InterpolationOptions(
            model,
            device=device,
            tile=tile,
            scale=scale,
            ensemble=ensemble,
            precision=precision,
        )
    )
    return convert_video(
        Path(source),
        Path(target),
        interpolation,
        options,
        overwrite=overwrite,
        resume=resume,
        progress=progress,
    )


def convert_video(
    source: Path,
    target: Path,
    interpolation: InterpolationOptions | Interpolator,
    options: VideoOptions,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> VideoReport:
    """Do the work of `interpolate_video`, with its options in dataclasses; returns and raises the
    same."""
    goal = target_for(target, options.encoding)
    goal.check(source, overwrite=overwrite, resume=resume)
    tool = (
        interpolation
        if isinstance(interpolation, Interpolator)
        else Interpolator.from_options(interpolation)
    )
    settings: dict[str, Any] = {"video": identity_of(source), "network": tool.identity}
    settings |= fingerprint(tool.options, options.retiming, options.source, goal.options)
    if resume and goal.is_complete(settings, overwrite=overwrite):
        return VideoReport(already_complete=True)
    holds = {"holds_matrix": goal.holds_matrix, "holds_aspect": goal.holds_aspect}
    retiming = options.retiming
    with open_source(source, options.source, **holds) as reader:
        picture, colour = reader.first_picture()
        timeline = choose_timeline(
            reader.source_rate,
            reader.time_base,
            retiming,
            constant=goal.constant,
            min_step=goal.min_step,
        )
        if picture.interlaced_frame and not options.source.deinterlace:
            log.warning("%s is interlaced: --deinterlace makes progressive frames of it", source)
        job = Job(reader, picture, colour, timeline, settings)
        try:
            finished = goal.begin(job, resume=resume, overwrite=overwrite)
            _log_plan(job, goal, finished)
            details: dict[str, Any] = {
                "overlays": retiming.overlays,
                "finished": finished,
                "progress": progress,
            }
            with Workers(tool.pairs_at_once(picture.height, picture.width)) as workers:
                retimer = Retimer(
                    workers, tool, colour, timeline, retiming.cut, reader, job.report, **details
                )
                _run(reader, goal, retimer, dedup=retiming.dedup)
            job.report.duplicates = reader.frames_read - job.report.frames_in
            goal.finish(retimer)
            job.report.dropped = (*job.report.dropped, *goal.lost_side_data(retimer))
            if job.report.frames_kept < job.report.frames_in:
                share = f"{job.report.frames_kept} of {job.report.frames_in} source frames"
                reader.warnings.append(
                    f"{share} are in the result unchanged: --factor or --vfr keeps all of them"
                )
            job.report.damage = (*reader.damage.places, *job.report.damage)
            job.report.warnings = (*reader.warnings, *job.report.warnings)
        except BaseException as error:
            kept = goal.give_up()
            if kept and isinstance(error, MidframeError):
                raise type(error)(
                    f"{error}; finished segments are kept in {kept}, --resume continues from there"
                ) from error
            if kept:
                log.warning("finished segments are kept in %s, --resume continues from there", kept)
            raise
    return job.report


def _log_plan(job: Job, goal: Target, finished: int) -> None:
    reader, encoding = job.reader, goal.encoding
    size = f"{job.picture.width}x{job.picture.height} {job.picture.format.name}"
    regular = "constant" if reader.source_rate.regular else "variable"
    log.info("source: %s, %s rate of %.3f frames/s", size, regular, reader.rate)
    options = " ".join(f"{name}={value}" for name, value in encoding.options.items())
    log.info(
        "result: %s %s, %.3f frames/s, options %s",
        encoding.encoder,
        encoding.pixel_format,
        encoding.rate,
        options,
    )
    if finished:
        log.info("resuming: %d segments are finished", finished)


def _run(reader: VideoReader, goal: Target, retimer: Retimer, *, dedup: bool) -> None:
    stop = Event()
    incoming: Channel[Frame] = Channel(stop)
    outgoing: Channel[Output] = Channel(stop, goal.check_progress)

    def read() -> None:
        frames = reader.read()
        incoming.send_all(without_duplicates(frames, reader.frame_duration) if dedup else frames)

    threads = [
        Thread(target=guard, args=(stop, incoming, read), name="reader", daemon=True),
        Thread(
            target=guard,
            args=(stop, outgoing, lambda: goal.write(outgoing)),
            name="writer",
            daemon=True,
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        outgoing.send_all(retimer.frames(incoming))
        while threads[1].is_alive():
            threads[1].join(POLL_SECONDS)
            goal.check_progress()
        outgoing.raise_failure()
    finally:
        stop.set()
        for thread in threads:
            thread.join(
                LEAVE_SECONDS
            )  # a call into a library that never returns does not hold the program
