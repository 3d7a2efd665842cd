"""Functions for animations and image sequences, which are written from lossless segments and
contain only images."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import av

from midframe.video.sinks.protocol import Conversion
from midframe.video.sinks.segment_encoder import SegmentEncoder


def decode_segments(encoder: SegmentEncoder, end_pts: int) -> Iterator[av.VideoFrame]:
    """Yield the frames of all finished segments, lossless RGB.

    Args:
        encoder: of the segments.
        end_pts: end of the last frame.
    """
    encoding, segments = encoder.encoding, encoder.segments
    decoder: Any = av.CodecContext.create(encoding.encoder, "r")
    decoder.extradata = segments.extradata()
    decoder.width = encoding.width
    decoder.height = encoding.height
    for packet in chain(segments.packets(end_pts), [None]):
        for frame in decoder.decode(packet):
            frame.time_base = encoding.time_base
            yield frame


def report_dropped(conversion: Conversion, name: str, lost: Iterable[str]) -> None:
    """Add to the report what is dropped in a result that contains only images.

    Args:
        conversion: the source, and the decisions about the result.
        name: of the result.
        lost: properties of the images that are lost.
    """
    streams = conversion.dropped_streams(f"{name} holds images only")
    conversion.report.dropped = (*streams, *lost)
