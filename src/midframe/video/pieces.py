"""Pieces of a result, which other processes render: some of its segments, each stored by itself.

Where segments begin follows from the plan alone, so every process divides a result in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from midframe.errors import VideoError
from midframe.interpolator import Interpolator
from midframe.media.reading.sources import identity_of
from midframe.media.writing.encoders import Encoding, with_fixed_threads
from midframe.options import VideoOptions
from midframe.video.plan import Extent, plan_intervals
from midframe.video.render_job import RenderJob, open_render_job, result_settings
from midframe.video.renderer import timing_of
from midframe.video.segment_database import SegmentDatabase
from midframe.video.sinks.segment_encoder import FrameEncoder
from midframe.video.sinks.targets import SegmentedTarget


@dataclass(frozen=True)
class SegmentPlan:
    """The segments of a result."""

    extent: Extent
    """Of the whole result."""
    source_frames: tuple[int, ...]
    """For each segment, how many source frames its intervals end with."""


def plan_segments(render_job: RenderJob) -> SegmentPlan:
    """Read the source of a result, count all frames of the result in its report, and return its
    segments. Nothing is rendered."""
    source_frames: list[int] = []
    timings = (timing_of(frame, render_job.times_of) for frame in render_job.read())
    for interval in plan_intervals(timings, render_job.plan_options):
        render_job.count(interval)
        if interval.frames and interval.segment == len(source_frames):
            source_frames.append(0)
        if source_frames:
            source_frames[-1] += interval.after is not None
    assert render_job.extent, "the plan is complete"
    return SegmentPlan(render_job.extent, tuple(source_frames))


@dataclass(frozen=True)
class EncoderState:
    """The state that the encoders of all pieces must share, so that their packets can be joined."""

    threads: int
    """As in `Encoding`."""
    extradata: bytes
    """The parameter sets."""


def encoder_state(encoding: Encoding) -> EncoderState:
    """Return the number of threads and the parameter sets of the encoder on this machine."""
    fixed = with_fixed_threads(encoding)
    return EncoderState(fixed.threads, fixed.open_encoder().extradata or b"")


@dataclass(frozen=True)
class Piece:
    """Some segments of a result."""

    segments: range
    """Their numbers, in steps of 1."""
    state: EncoderState
    settings: dict[str, Any]
    """Of the result; from `result_settings`."""


def render_piece(
    path: Path,
    target: SegmentedTarget,
    interpolator: Interpolator,
    options: VideoOptions,
    piece: Piece,
    scratch: Path,
    publish: Callable[[int, Path], None],
) -> None:
    """Render some segments of a result.

    The source is decoded from its start, but only the frames of these segments are interpolated.

    Args:
        path: of the source.
        target: of the result, of which only the properties are used.
        interpolator: for the frames between source frames.
        options: of the result.
        piece: the segments.
        scratch: an existing folder for unfinished files.
        publish: called with the number of each finished segment, and a database that contains only
            that; the file is deleted afterwards.

    Raises:
        VideoError: the source cannot be read, or source, network or encoder differ on this machine.
    """
    resolved_options = replace(options, encoding=target.options)
    if piece.settings != result_settings(identity_of(path), interpolator, resolved_options):
        raise VideoError(
            f"{path} or the network differs on this machine: all machines need the same files and "
            "the same version of midframe"
        )

    def store(number: int, *segment: object) -> None:
        file = scratch / f"{number}.segment"
        database = SegmentDatabase(file, new=True)
        try:
            database.add(number, *segment)  # type: ignore[arg-type]
        finally:
            database.close()
        publish(number, file)
        file.unlink()

    with open_render_job(path, target, interpolator, options, piece.settings) as render_job:
        encoding = replace(
            target.choose_encoding(render_job.conversion), threads=piece.state.threads
        )
        if (encoding.open_encoder().extradata or b"") != piece.state.extradata:
            raise VideoError(
                f"{encoding.encoder} has another version here, or encodes differently on this "
                "processor: install the same packages on all machines, or choose another --codec"
            )
        encoder = FrameEncoder(encoding, render_job.conversion.colour, store)
        render_job.render(
            interpolator,
            encoder.write,
            encoder.watchdog.check,
            lambda _: None,
            finished=piece.segments.start,
            end=piece.segments.stop,
        )
