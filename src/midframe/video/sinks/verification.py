"""Verification of a finished video file: it is decoded and compared with its source."""

from fractions import Fraction
from pathlib import Path

from midframe.media.reading.source import WHOLE_SOURCE, FrameSource
from midframe.media.streams.output_streams import OutputStream
from midframe.media.streams.sound import ConvertedSound
from midframe.media.writing.encoders import Encoding
from midframe.media.writing.writer import VideoWriter
from midframe.video.plan import Extent
from midframe.video.playback import StreamSpan
from midframe.video.playback_check import Expected, verify_playback
from midframe.video.sinks.protocol import Conversion


def verify(
    path: Path,
    conversion: Conversion,
    encoding: Encoding,
    extent: Extent,
    writer: VideoWriter | None = None,
) -> None:
    """Decode a result and compare it with its source; add the differences to the report.

    Args:
        path: of the result.
        conversion: the source, and the decisions about the result.
        encoding: of its frames.
        extent: of the result.
        writer: of the file, if it has other streams.
    """
    source = conversion.source
    is_excerpt = source.time_range != WHOLE_SOURCE
    outputs = writer.stream_writer.outputs if writer else {}
    sounds = {index: output for index, output in outputs.items() if output.stream.type == "audio"}
    expected = Expected(
        thumbnails=source.thumbnails,
        end=extent.source_end,
        sounds=[sound_span(source, index, output, extent) for index, output in sounds.items()],
        streams=writer.stream_writer.counts if writer else {},
        tags=writer.stream_writer.tags if writer else [],
        slow=conversion.timeline.slow,
        step=1 / conversion.timeline.rate,
        stretched=conversion.timeline.slow != 1 or is_excerpt or bool(writer and writer.converted),
        shift=extent.begin if is_excerpt else Fraction(0),
        aspect=encoding.sample_aspect_ratio,
        metadata=writer.source_metadata if writer else {},
    )
    verify_playback(path, conversion.report, expected)


def sound_span(
    source: FrameSource, index: int, output: OutputStream, extent: Extent
) -> StreamSpan | None:
    """Return start and end of an audio stream within the time range, in seconds of the
    source; None if they are unknown or outside."""
    span = source.contents.spans.get(index)
    is_excerpt = source.time_range != WHOLE_SOURCE
    if span is None:
        return None
    begin, end = span.begin, span.end
    if isinstance(output, ConvertedSound) and output.begin is not None and output.end is not None:
        # packets do not state the times of all codecs
        offset = extent.begin if is_excerpt else 0
        begin, end = output.begin + offset, output.end + offset
    if is_excerpt:
        begin, end = max(begin, extent.begin), min(end, extent.end)
    return StreamSpan(begin, end) if begin < end else None
