"""From a video to one with other frames: three threads, of which this one owns the network.

    reader thread: demux, decode, find cuts  ->  queue  ->  network  ->  queue  ->  writer thread: encode, mux

Both queues are short, so memory does not grow with the film.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from typing import Any

import av

from midframe.errors import VideoError
from midframe.interpolator import DEFAULT_MODEL, Interpolator
from midframe.video.channel import Channel, guard
from midframe.video.encoders import DEFAULT_CODEC, DEFAULT_CRF
from midframe.video.reader import Frame, VideoReader
from midframe.video.report import VideoReport, check_result
from midframe.video.retimer import CUTS, DEFAULT_CUT, Output, Progress, Retimer
from midframe.video.scenes import DEFAULT_THRESHOLD
from midframe.video.timeline import choose_timeline
from midframe.video.writer import VideoWriter


def interpolate_video(
    source: str | Path,
    target: str | Path,
    *,
    factor: int | None = None,
    fps: str | Fraction | None = None,
    slow: float | Fraction | None = None,
    vfr: bool = False,
    mute: bool = False,
    model: str | Interpolator = DEFAULT_MODEL,
    device: str = "auto",
    tile: int | None = None,
    precision: str = "auto",
    codec: str = DEFAULT_CODEC,
    crf: int = DEFAULT_CRF,
    preset: str | None = None,
    encoder_options: Mapping[str, str] | None = None,
    cut: str = DEFAULT_CUT,
    cut_threshold: float = DEFAULT_THRESHOLD,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> VideoReport:
    """Write a video again at another frame rate, with all its streams, at its own speed or slower.

    The result has a constant frame rate. A time that falls on a source frame takes that frame as it is, others are made
    at the nearest time that the network can make; the report tells the largest difference. The last frame is held for
    as long as it was shown. Sound packets are copied.

    Args:
        source: a video that FFmpeg reads.
        target: the result, ending in .mp4, .mkv, .mov or .webm. It appears when it is complete.
        factor: multiple of the source's frame rate; 2 unless `fps` or `slow` is given.
        fps: frames a second of the result, as in 60, "60000/1001" or "59.94".
        slow: how many times longer the result is; from 1. Sound is stretched, its pitch kept.
        vfr: show every source frame at its own time, and `factor` - 1 between two of them, evenly.
        mute: leave sound out.
        model: name or file of weights, or an Interpolator that is ready.
        device, tile, precision: as in `Interpolator`.
        codec: h264, hevc, av1, vp9, prores, ffv1 or an encoder of FFmpeg.
        crf: constant quality of the encoder; smaller is better and larger.
        preset: how much work the encoder does, by its own names.
        encoder_options: more of its options, by FFmpeg's names.
        cut: what is shown across a cut: "hold" the frame before it, the "nearest", or a "blend" of both.
        cut_threshold: score from 0 to 100 from which a change counts as a cut; 0 looks for none.
        overwrite: replace a target that exists.
        progress: told how far the work is, several times a frame where the network makes frames in parts.

    Returns:
        How many frames came in, were kept, made and held, what became of the other streams, and whether the result,
        read again, has all it should (`problems`).

    Raises:
        ValueError: options that are impossible or exclude each other.
        VideoError: the source cannot be read, or the target cannot be written. Nothing is left behind.
    """
    source, target = Path(source), Path(target)
    if cut not in CUTS:
        raise ValueError(f"cut is {cut!r}: choose from {', '.join(CUTS)}")
    wanted: dict[str, Any] = {"factor": factor, "fps": fps, "slow": slow, "true_times": vfr}
    choose_timeline(Fraction(25), Fraction(1, 25), **wanted)  # impossible wishes are told before files are
    check_target(source, target, overwrite)
    tool = (
        model if isinstance(model, Interpolator) else Interpolator(model, device=device, tile=tile, precision=precision)
    )
    with VideoReader(source, cut_threshold or None) as reader:
        picture, colour = reader.first_picture()
        timeline = choose_timeline(reader.rate, reader.time_base, **wanted)
        options: dict[str, Any] = {"codec": codec, "crf": crf, "preset": preset, "encoder_options": encoder_options}
        options |= {"slow": timeline.slow, "mute": mute}
        options |= {"time_base": timeline.time_base, "rate": timeline.rate}
        with VideoWriter(target, reader, picture, colour, **options) as writer:
            report = VideoReport(converted=tuple(writer.converted), left_out=tuple(writer.left_out))
            retimer = Retimer(tool, colour, writer.pixel_format, timeline, cut, reader, report, progress)
            _run(reader, writer, retimer)
            if writer.sound_end is not None:
                picture_end = retimer.origin * timeline.slow + report.length_in
                report.sound_after_picture_in = writer.sound_end * timeline.slow - picture_end
    check_result(target, report, writer.carried, timeline.rate, stretched=timeline.slow != 1 or bool(writer.converted))
    return report


def check_target(source: Path, target: Path, overwrite: bool) -> None:
    """See that a result may be written; a VideoError says why it may not."""
    if target.exists() and source.exists() and target.samefile(source):
        raise VideoError(f"{target} is the video itself: name another OUT")
    if target.exists() and not overwrite:
        raise VideoError(f"{target} exists: name another OUT, or give --overwrite")
    if not target.parent.is_dir():
        raise VideoError(f"{target.parent} is no folder: make it first, or name another OUT")


def _run(reader: VideoReader, writer: VideoWriter, retimer: "Retimer") -> None:
    stop = Event()
    incoming: Channel[Frame | av.Packet] = Channel(stop)
    outgoing: Channel[Output | av.Packet] = Channel(stop)
    kept = [stream for stream in reader.others if stream.index in writer.carriers]
    threads = [
        Thread(target=guard, args=(stop, incoming, lambda: incoming.send_all(reader.read(kept))), name="reader"),
        Thread(target=guard, args=(stop, outgoing, lambda: _write_all(writer, outgoing)), name="writer"),
    ]
    for thread in threads:
        thread.start()
    try:
        for item in incoming:
            if isinstance(item, Frame):
                outgoing.send_all(retimer.frames_for(item), last=False)
            else:
                outgoing.send(item)
        outgoing.send_all(retimer.closing_frames())
        threads[1].join()
        outgoing.raise_failure()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _write_all(writer: VideoWriter, items: "Channel[Output | av.Packet]") -> None:
    for item in items:
        if isinstance(item, Output):
            writer.write_frame(item.picture, item.pts)
        else:
            writer.write_packet(item)
