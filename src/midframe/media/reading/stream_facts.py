"""What the video stream of an open container states about itself, and how it is to be decoded."""

from fractions import Fraction
from typing import Any

import av

from midframe.media.reading.source import Contents
from midframe.media.reading.survey import FASTEST, Survey
from midframe.media.reading.video_file import describe_stream

DEFAULT_TIME_BASE = Fraction(1, 90000)
"""Of streams that state none."""
ORDERED = ("avi", "ogg")
"""Containers whose empty packets, and packets without times, must meet a decoder that is not behind
by some frames."""


def stated_rates(stream: av.VideoStream) -> list[Fraction]:
    """Return the frame rates that a stream states, as far as they are possible."""
    rates = (stream.average_rate, stream.guessed_rate)
    return [rate for rate in rates if rate and rate <= FASTEST]


def counts_frames(container: av.container.InputContainer) -> bool:
    """Whether a container counts frames: only the order of decoding states when they are shown."""
    return str(container.format.name) == "avi"


def choose_threads(
    container: av.container.InputContainer, stream: av.VideoStream, *, threads: bool = True
) -> None:
    """Let the decoder of a stream work on several frames at a time, if `threads` is set and the
    container allows it."""
    stream.thread_type = "AUTO" if threads and container.format.name not in ORDERED else "SLICE"


def contents_of(
    container: av.container.InputContainer, stream: av.VideoStream, survey: Survey
) -> Contents:
    """Return what a container holds beside the frames of its video stream."""
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
