"""A frame of the result, between the renderer and the sinks."""

from dataclasses import dataclass

import av


@dataclass(frozen=True)
class RenderedFrame:
    """A frame of the result, on its way to the encoder."""

    picture: av.VideoFrame
    """A source frame as it was decoded, or an interpolated frame in the same pixel format and
    colour space."""
    pts: int
    """In the time base of the timeline."""
    segment: int
    """Number of its segment, from 0."""
    original: av.VideoFrame
    """The source frame that is shown at its time without interpolation."""
    captions: av.VideoFrame | None = None
    """A source frame whose closed captions are attached."""
