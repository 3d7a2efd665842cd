"""Encoding the frames of a result into segments."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.colour.conversion import Colour
from midframe.media.colour.side_data import with_side_data
from midframe.media.writing.encoders import Encoding
from midframe.video.disk_space import check_space
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.segments import Segments
from midframe.video.sinks.protocol import Conversion, abort_on_error
from midframe.video.watchdog import Watchdog, stall_seconds

StoreSegment = Callable[[int, bytes | None, Iterable[av.Packet]], None]
"""See `Segments.add`."""


class FrameEncoder:
    """Encodes frames in segments, each with a new encoder.

    Args:
        encoding: of the frames.
        colour: how their samples represent colours.
        store: called with each segment: its number, the parameter sets of its encoder, and its
            packets, which are encoded as they are iterated over.
    """

    def __init__(self, encoding: Encoding, colour: Colour, store: StoreSegment) -> None:
        self.encoding = encoding
        self.colour = colour
        self.store = store
        self.watchdog = encoder_watchdog(encoding)

    def write(self, frames: Iterable[RenderedFrame]) -> None:
        """Encode frames and store their segments.

        Raises:
            VideoError: the encoder refuses the frames.
        """
        for segment, group in groupby(frames, key=lambda frame: frame.segment):
            try:
                with self.watchdog.step():
                    encoder = self.encoding.open_encoder()
                self.store(segment, encoder.extradata, self._encode(encoder, group))
            except av.FFmpegError as error:
                raise VideoError(
                    f"{self.encoding.encoder} cannot encode these frames ({error.strerror}): "
                    "choose another --codec"
                ) from error

    def _encode(self, encoder: Any, frames: Iterable[RenderedFrame]) -> Iterator[av.Packet]:
        for each in frames:
            frame = self.encoding.frame(each.picture, self.colour, each.pts)
            if each.captions is not None:
                frame = with_captions(frame, each.captions)
            yield from self.watchdog.watch(encoder.encode_lazy(frame))
        yield from self.watchdog.watch(encoder.encode_lazy(None))


class SegmentEncoder:
    """Encodes frames into the segments of a result.

    Args:
        place: path of the result; the folder of the segments is beside it.
        conversion: the source, and the decisions about the result.
        encoding: of the frames.
        resume, overwrite: as in `Segments`.

    Raises:
        VideoError: as in `Segments`, or the disk has no space for the result.
    """

    def __init__(
        self,
        place: Path,
        conversion: Conversion,
        encoding: Encoding,
        *,
        resume: bool,
        overwrite: bool,
    ) -> None:
        self.encoding = encoding
        self.segments = Segments(place, conversion.settings, resume=resume, overwrite=overwrite)
        self._encoder = FrameEncoder(encoding, conversion.colour, self.segments.add)
        self._removed = False
        frames = conversion.source.expected_frames
        ratio = float(conversion.timeline.rate * conversion.timeline.slow / conversion.source.rate)
        with abort_on_error(self.abort):
            check_space(place.parent, encoding, frames and frames * ratio)

    @property
    def finished(self) -> int:
        """Return the number of finished segments."""
        return self.segments.finished

    @property
    def folder(self) -> Path:
        """Return the folder of the segments; other files in it are deleted with them."""
        return self.segments.folder

    @property
    def watchdog(self) -> Watchdog:
        """Return the watchdog of the encoder."""
        return self._encoder.watchdog

    def write(self, frames: Iterable[RenderedFrame]) -> None:
        """Encode frames in segments, each with a new encoder."""
        self._encoder.write(frames)

    def remove(self) -> None:
        """Delete all segments after the result is complete."""
        self._removed = True
        self.segments.remove()

    def abort(self) -> Path | None:
        """Close the database; return the folder of finished segments if there are any."""
        if self._removed or not self.segments.close():
            return None
        return self.segments.folder


class SegmentedSink:
    """What the sinks of results have in common that are built from finished segments."""

    encoder: SegmentEncoder

    def write(self, frames: Iterable[RenderedFrame]) -> None:
        """See `Sink`."""
        self.encoder.write(frames)

    def check_progress(self) -> None:
        """See `Sink`."""
        self.encoder.watchdog.check()

    def abort(self) -> Path | None:
        """See `Sink`."""
        return self.encoder.abort()


def encoder_watchdog(encoding: Encoding) -> Watchdog:
    """Create the watchdog for the encoder of a result."""
    return Watchdog(
        stall_seconds(encoding.width, encoding.height),
        f"{encoding.encoder} makes no progress: choose another --codec or --preset",
    )


def with_captions(frame: av.VideoFrame, source: av.VideoFrame) -> av.VideoFrame:
    """Return a frame for the encoder with the closed captions of a source frame."""
    captioned = with_side_data(frame, source)
    captioned.pts = frame.pts
    captioned.time_base = frame.time_base
    captioned.pict_type = 0  # the encoder chooses its own key frames
    return captioned
