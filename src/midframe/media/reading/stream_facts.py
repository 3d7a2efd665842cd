"""Properties of the video stream of an open container, and its decoder threads."""

from fractions import Fraction
from typing import Any

import av

from midframe.media.reading.source import Contents
from midframe.media.reading.survey import MAX_FRAME_RATE, Survey
from midframe.media.reading.video_file import describe_stream

DEFAULT_TIME_BASE = Fraction(1, 90000)
"""Of streams that state none."""
WITHOUT_FRAME_THREADS = ("avi", "ogg")
"""Containers with empty packets or packets without times, whose decoder must not be delayed by
frame threads."""


def stated_rates(stream: av.VideoStream) -> list[Fraction]:
    """Return the plausible frame rates that a stream states."""
    rates = (stream.average_rate, stream.guessed_rate)
    return [rate for rate in rates if rate and rate <= MAX_FRAME_RATE]


def uses_dts(container: av.container.InputContainer) -> bool:
    """Return whether a container has no presentation timestamps: times follow from the decoding
    order."""
    return str(container.format.name) == "avi"


def choose_threads(
    container: av.container.InputContainer, stream: av.VideoStream, *, threads: bool = True
) -> None:
    """Enable frame threads of the decoder, if `threads` is set and the container allows it."""
    stream.thread_type = (
        "AUTO" if threads and container.format.name not in WITHOUT_FRAME_THREADS else "SLICE"
    )


def contents_of(
    container: av.container.InputContainer, stream: av.VideoStream, survey: Survey
) -> Contents:
    """Return the metadata and streams of a container besides its frames."""
    chapters: Any = container.chapters()
    return Contents(
        format=container.format.name,
        description=describe_stream(container, stream.index),
        metadata=dict(container.metadata),
        stream_metadata=dict(stream.metadata),
        disposition=stream.disposition,
        chapters=chapters,
        spans=survey.spans,
        shift=survey.shift,
        changed_sounds=survey.changed_sounds,
    )
