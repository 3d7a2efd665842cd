"""From a video to one with other frames: a thread that reads, this one, those that make frames, one that writes.

    reader thread: demux, decode, find cuts  ->  queue  ->  retimer, workers  ->  queue  ->  writer thread: encode

Both queues are short, so memory does not grow with the film. What is encoded is kept in segments until all of it is
there; then it is joined with the source's other streams.
"""

import logging
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from typing import Any

from midframe.errors import MidframeError
from midframe.interpolator import Interpolator
from midframe.models.checkpoint import DEFAULT_MODEL
from midframe.ops.workers import Workers
from midframe.video.channel import Channel, guard
from midframe.video.encoders import DEFAULT_CODEC, DEFAULT_CRF
from midframe.video.frame_rate import measure_rate
from midframe.video.reader import Frame, Part, VideoReader
from midframe.video.repeats import without_repeats
from midframe.video.report import VideoReport
from midframe.video.retimer import CUTS, DEFAULT_CUT, Output, Progress, Retimer
from midframe.video.scenes import DEFAULT_THRESHOLD
from midframe.video.sources import identity_of, open_source
from midframe.video.targets import Job, Target, target_for
from midframe.video.timeline import choose_timeline

log = logging.getLogger(__name__)


def interpolate_video(
    source: str | Path,
    target: str | Path,
    *,
    factor: int | None = None,
    fps: str | Fraction | None = None,
    slow: float | Fraction | None = None,
    vfr: bool = False,
    mute: bool = False,
    start: float = 0.0,
    end: float | None = None,
    source_fps: str | Fraction | None = None,
    deinterlace: bool = False,
    dedup: bool = False,
    overlays: bool = True,
    model: str | Interpolator = DEFAULT_MODEL,
    device: str = "auto",
    tile: int | None = None,
    scale: int | None = None,
    ensemble: int = 1,
    precision: str = "auto",
    codec: str = DEFAULT_CODEC,
    crf: int = DEFAULT_CRF,
    preset: str | None = None,
    encoder_options: Mapping[str, str] | None = None,
    cut: str = DEFAULT_CUT,
    cut_threshold: float = DEFAULT_THRESHOLD,
    strict: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> VideoReport:
    """Write a video again at another frame rate, with all its streams, at its own speed or slower.

    The result has a constant frame rate. A time that falls on a source frame takes that frame as it is, others are made
    at the nearest time that the network can make; the report tells the largest difference. The last frame is held for
    as long as it was shown. Sound packets are copied.

    Work that is stopped, by whatever, can be gone on with: finished segments lie in `TARGET.midframe/`.

    Args:
        source: a video that FFmpeg reads, a GIF or APNG, a folder of pictures or a pattern such as `frames/%06d.png`,
            or "-" for a stream in standard input, as y4m.
        target: the result, ending in .mp4, .mkv, .mov, .webm, .gif or .apng; a pattern for pictures; or "-" for y4m in
            standard output. It appears when it is complete.
        factor: multiple of the source's frame rate; 2 unless `fps` or `slow` is given.
        fps: frames a second of the result, as in 60, "60000/1001" or "59.94".
        slow: how many times longer the result is; from 1. Sound is stretched, its pitch kept.
        vfr: show every source frame at its own time, and `factor` - 1 between two of them, evenly.
        mute: leave sound out.
        start, end: the part of the source to show, in seconds from its first frame.
        source_fps: frames a second of pictures, which have no rate of their own; 25 if None.
        deinterlace: make whole frames of the two fields that interlaced ones hold.
        dedup: take frames out that repeat the one before them, and make what was missing there.
        overlays: keep what stands still before a moving picture (logos, subtitles) as it is.
        model: name or file of weights, or an Interpolator that is ready.
        device, tile, scale, ensemble, precision: as in `Interpolator`.
        codec: h264, hevc, av1, vp9, prores, ffv1 or an encoder of FFmpeg.
        crf: constant quality of the encoder; smaller is better and larger.
        preset: how much work the encoder does, by its own names.
        encoder_options: more of its options, by FFmpeg's names.
        cut: what is shown across a cut: "hold" the frame before it, the "nearest", or a "blend" of both.
        cut_threshold: score from 0 to 100 from which a change counts as a cut; 0 looks for none.
        strict: refuse a damaged source. Otherwise damage is bridged, and reported with its times.
        overwrite: replace a target that exists.
        resume: go on with work on this target that was stopped.
        progress: told how far the work is, several times a frame where the network makes frames in parts.

    Returns:
        How many frames came in, were kept, made and held, what became of the other streams, and whether the result,
        read again, has all it should (`problems`).

    Raises:
        ValueError: options that are impossible or exclude each other.
        VideoError: the source cannot be read, or the target cannot be written. Nothing is left behind but segments
            that can be gone on from, if the source is not at fault.
    """
    if cut not in CUTS:
        raise ValueError(f"cut is {cut!r}: choose from {', '.join(CUTS)}")
    part = Part(start, end)
    wanted: dict[str, Any] = {"factor": factor, "fps": fps, "slow": slow, "true_times": vfr}
    choose_timeline(measure_rate([], Fraction(1), []), Fraction(1, 25), **wanted)  # impossible wishes before files
    source = Path(source)
    encoding = {"codec": codec, "crf": crf, "preset": preset, "encoder_options": encoder_options}
    goal = target_for(Path(target), mute=mute, codec=encoding)
    goal.check(source, overwrite)
    tool = (
        model
        if isinstance(model, Interpolator)
        else Interpolator(model, device=device, tile=tile, scale=scale, ensemble=ensemble, precision=precision)
    )
    settings: dict[str, Any] = {"factor": factor, "fps": str(fps), "slow": str(slow), "vfr": vfr, "start": start}
    settings |= {"end": end, "source_fps": str(source_fps), "deinterlace": deinterlace, "dedup": dedup}
    settings |= {"overlays": overlays, "precision": precision, "codec": codec, "crf": crf, "preset": preset}
    settings |= {"encoder_options": dict(encoder_options or {}), "cut": cut, "cut_threshold": cut_threshold}
    settings |= {"video": identity_of(source), "network": tool.identity, "depth": tool.depth}
    source_options: dict[str, Any] = {"part": part, "deinterlace": deinterlace, "rate": source_fps, "strict": strict}
    source_options |= {"holds_matrix": goal.holds_matrix, "holds_aspect": goal.holds_aspect}
    with open_source(source, cut_threshold or None, **source_options) as reader:
        picture, colour = reader.first_picture()
        timeline = choose_timeline(reader.source_rate, reader.time_base, constant=goal.constant, **wanted)
        if picture.interlaced_frame and not deinterlace:
            log.warning("%s is interlaced: --deinterlace makes whole frames of its fields", source)
        job = Job(reader, picture, colour, timeline, settings)
        try:
            finished = goal.begin(job, resume=resume, overwrite=overwrite)
            details: dict[str, Any] = {"overlays": overlays, "finished": finished, "progress": progress}
            with Workers(tool.pairs_at_once(picture.height, picture.width)) as workers:
                retimer = Retimer(workers, tool, colour, timeline, cut, reader, job.report, **details)
                _run(reader, goal, retimer, dedup=dedup)
            job.report.frames_repeated = reader.frames_read - job.report.frames_in
            goal.finish(retimer)
            if job.report.frames_kept < job.report.frames_in:
                fact = f"{job.report.frames_kept} of {job.report.frames_in} source frames are shown as they are"
                reader.warnings.append(f"{fact}: a multiple of the source's rate (--factor) or --vfr keeps all of them")
            job.report.damage = (*reader.damage.places, *job.report.damage)
            job.report.warnings = (*reader.warnings, *job.report.warnings)
        except BaseException as error:
            kept = goal.give_up()
            if kept and isinstance(error, MidframeError):
                raise type(error)(f"{error}; what is done is kept in {kept}, --resume goes on from there") from error
            if kept:
                log.warning("what is done is kept in %s, --resume goes on from there", kept)
            raise
    return job.report


def _run(reader: VideoReader, goal: Target, retimer: Retimer, *, dedup: bool) -> None:
    stop = Event()
    incoming: Channel[Frame] = Channel(stop)
    outgoing: Channel[Output] = Channel(stop)

    def read() -> None:
        frames = reader.read()
        incoming.send_all(without_repeats(frames, reader.frame_duration) if dedup else frames)

    threads = [
        Thread(target=guard, args=(stop, incoming, read), name="reader"),
        Thread(target=guard, args=(stop, outgoing, lambda: goal.write(outgoing)), name="writer"),
    ]
    for thread in threads:
        thread.start()
    try:
        outgoing.send_all(retimer.frames(incoming))
        threads[1].join()
        outgoing.raise_failure()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
