"""Frames from standard input: y4m, or another format that FFmpeg reads without seeking."""

import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Self

import av

from midframe.errors import SourceError
from midframe.media.colour.conversion import Colour
from midframe.media.colour.geometry import OutputGeometry
from midframe.media.reading.completeness import Y4M_HEADERS, check_end, y4m_is_truncated
from midframe.media.reading.damage import Damage
from midframe.media.reading.frame_clock import FrameClock
from midframe.media.reading.frame_converter import FrameConverter
from midframe.media.reading.frame_decoder import FrameDecoder
from midframe.media.reading.frame_rate import measure_rate
from midframe.media.reading.interlacing import deinterlace_frames, warn_of_interlacing
from midframe.media.reading.source import WHOLE_SOURCE, Frame, FrameSource, TimeRange
from midframe.media.reading.stream_facts import (
    DEFAULT_TIME_BASE,
    choose_threads,
    contents_of,
    stated_rates,
    uses_dts,
)
from midframe.media.reading.survey import EMPTY
from midframe.media.reading.telecine import warn_of_telecine
from midframe.media.reading.thumbnails import ThumbnailList
from midframe.media.reading.time_range import TimeRangeSelector
from midframe.media.reading.video_file import find_video_stream, open_video, read_error

if sys.platform == "win32":
    import msvcrt

STREAM = Path("-")
"""Name of standard input and output."""
POLL_SECONDS = 0.2
"""Seconds between two checks of a waiting read whether it was interrupted."""


class ReadInterrupted(Exception):  # noqa: N818  # not an error: the caller ended the work
    """Reading was interrupted. PyAV passes on exceptions of `read`, but not `KeyboardInterrupt`."""


@contextmanager
def restore_interrupt() -> Iterator[None]:
    """Raise the `KeyboardInterrupt` again that ended a read in the block."""
    try:
        yield
    except ReadInterrupted as error:
        raise error.__cause__ or error from None


class StreamInput:
    """The bytes of a stream, counted while FFmpeg reads them.

    Args:
        descriptor: of an open file.
    """

    def __init__(self, descriptor: int) -> None:
        if sys.platform == "win32":  # line ends would be converted
            msvcrt.setmode(descriptor, os.O_BINARY)
        self.name = f"pipe:{descriptor}"
        self._descriptor = descriptor
        self.begin = b""
        """The first bytes of the stream, at least `Y4M_HEADERS` if there are so many."""
        self.count = 0
        """Number of bytes that were read."""
        self._interrupted = False
        self._ended = False

    def interrupt(self) -> None:
        """End a read in another thread, which may wait for a program that writes nothing, and all
        later ones."""
        self._interrupted = True

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes.

        Raises:
            ReadInterrupted: once, after `interrupt` or Ctrl-C; the stream then has no more data.
        """
        if self._ended:  # FFmpeg may ask again before PyAV raises the exception
            return b""
        try:
            self._wait()
            data = os.read(self._descriptor, size)
        except KeyboardInterrupt as error:
            self._ended = True
            raise ReadInterrupted from error
        self.count += len(data)
        if len(self.begin) < Y4M_HEADERS:
            self.begin += data[:Y4M_HEADERS]
        return data

    def _wait(self) -> None:
        """Wait for data, or for the end of the stream."""
        ready = sys.platform == "win32"  # where only sockets can be waited for
        while not ready and not self._interrupted:
            ready = bool(select.select([self._descriptor], [], [], POLL_SECONDS)[0])
        if self._interrupted:
            self._ended = True
            raise ReadInterrupted


class PipeReader:
    """A stream that can be read only once: a `FrameSource`.

    Only the video stream is read. The constructor decodes the first frame, which determines the
    start time and the layout of all frames.

    Args:
        path: name of the stream in messages.
        cut_threshold, time_range, deinterlace, strict, stores_display_matrix,
            stores_aspect_ratio: as in `VideoReader`.
        descriptor: of an open file; 0 for standard input.

    Raises:
        VideoError: the stream has no video, or no frame that can be decoded.
    """

    def __init__(
        self,
        path: Path = STREAM,
        cut_threshold: float | None = None,
        time_range: TimeRange = WHOLE_SOURCE,
        *,
        deinterlace: bool = False,
        strict: bool = False,
        stores_display_matrix: bool = True,
        stores_aspect_ratio: bool = True,
        descriptor: int = 0,
    ) -> None:
        self.path = path
        self.time_range = time_range
        self.deinterlace = deinterlace
        self.damage = Damage(path, strict=strict)
        self.warnings: list[str] = []
        self.other_streams: Sequence[Any] = ()
        self.expected_frames: float | None = None
        self.end: Fraction | None = None
        self._input = StreamInput(descriptor)
        with restore_interrupt():
            self.container = open_video(path, self._input)
        self.stream = find_video_stream(self.container, path)
        self._warn_of_other_streams()
        choose_threads(self.container, self.stream)
        self.time_base = self.stream.time_base or DEFAULT_TIME_BASE
        self.contents = contents_of(self.container, self.stream, EMPTY)
        decoder = FrameDecoder(self.stream.index, self.time_base, EMPTY, self.damage, None)
        self._decoded = decoder.frames(self.container)
        self._first = self._decode_first()
        self.start = (self._first.pts or 0) * self.time_base
        measured = measure_rate((), self.time_base, stated_rates(self.stream))
        self.source_rate = replace(measured, anchor=self.start)
        self.rate = self.source_rate.rate
        self.frame_duration = max(1, round(1 / self.rate / self.time_base))
        self._converter = FrameConverter(
            self._first,
            self.contents.description,
            self.stream.sample_aspect_ratio,
            self.time_base,
            self.damage,
            stores_display_matrix=stores_display_matrix,
            stores_aspect_ratio=stores_aspect_ratio,
        )
        self._selection = TimeRangeSelector(
            path, time_range, self.start, self.time_base, cut_threshold
        )

    def _warn_of_other_streams(self) -> None:
        """Report the streams that are not read: a result needs them after all frames."""
        types = {stream.type for stream in self.container.streams if stream is not self.stream}
        if types:
            self.warnings.append(
                f"a pipe is read for its video only, so its streams of {', '.join(sorted(types))} "
                "are dropped: name a file to keep them"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def interrupt(self) -> None:
        """See `FrameSource`."""
        self._input.interrupt()

    @property
    def geometry(self) -> OutputGeometry:
        return self._converter.geometry

    @property
    def thumbnails(self) -> ThumbnailList:
        return self._selection.thumbnails

    @property
    def frames_read(self) -> int:
        return self._selection.frames_read

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """See `FrameSource`."""
        return self._converter.first, self._converter.colour

    def read(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        clock = FrameClock(
            self._first.pts or 0,
            self.frame_duration,
            uses_dts=uses_dts(self.container),
            ignores_pts=False,
        )
        decoded = clock.spread(chain([self._first], self._decoded))
        spread = warn_of_telecine(decoded, self.warnings, self.time_base, self.rate)
        pictures = (
            deinterlace_frames(spread)
            if self.deinterlace
            else warn_of_interlacing(spread, self.warnings, self.time_base)
        )
        try:
            with restore_interrupt():
                yield from self._selection.frames(
                    pictures, self._converter, self.frame_duration, self._check_end
                )
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error

    def decode_again(self) -> None:
        """See `FrameSource`: a pipe can be read only once."""

    def reopen(self) -> AbstractContextManager[FrameSource]:
        """See `FrameSource`."""
        return nullcontext(self)

    def packets(self, streams: Sequence[Any]) -> Iterator[av.Packet]:
        """See `FrameSource`: there are no other streams."""
        return iter(())

    def _decode_first(self) -> av.VideoFrame:
        try:
            with restore_interrupt():
                first = next(self._decoded, None)
        except av.FFmpegError as error:
            self.container.close()
            raise read_error(self.path, error) from error
        if first is None:
            self.container.close()
            raise SourceError("standard input has no frame that can be decoded: y4m is expected")
        return first

    def _check_end(self, end: int | Fraction | None) -> None:
        if end is None:
            return
        check_end(self.damage, EMPTY, self.stream, end * self.time_base, self.rate)
        if y4m_is_truncated(self._input.begin, self._input.count, self._first):
            self.damage.add(end * self.time_base, "the stream ends within a frame")
