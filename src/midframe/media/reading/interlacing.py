"""Deinterlacing, by FFmpeg's bwdif filter."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

from midframe.media.colour.filters import FrameFormat, format_of, picture_buffer, pull_frames
from midframe.media.reading.frame_clock import TimedFrame


class Deinterlacer:
    """Converts each interlaced frame to one progressive frame; others are not changed."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._format: FrameFormat | None = None
        """Of the frames that the graph is built for."""
        self._begin: Any = None
        self._end: Any = None
        self._waiting: deque[TimedFrame] = deque()
        """The frames in the filter, with their pts and durations."""

    def feed(
        self, picture: av.VideoFrame, pts: int | Fraction, duration: int | Fraction
    ) -> Iterator[TimedFrame]:
        """Add a frame; yield the frames that are ready, usually the previous one.

        Before a frame of another size or pixel format, the filter is flushed and built again.
        """
        if format_of(picture) != self._format:
            yield from self.flush()
            self._configure(picture)
        self._waiting.append((picture, pts, duration))
        self._begin.push(picture)
        yield from self._pull()

    def flush(self) -> Iterator[TimedFrame]:
        """Yield the last frame."""
        if self._graph is not None:
            self._begin.push(None)
            yield from self._pull()

    def _configure(self, picture: av.VideoFrame) -> None:
        """Build the filter graph for frames like one."""
        self._format = format_of(picture)
        self._graph = graph = av.filter.Graph()  # its filters do not keep it
        self._begin = picture_buffer(graph, picture)
        self._end = graph.add("buffersink")
        graph.link_nodes(
            self._begin, graph.add("bwdif", "mode=send_frame:deint=interlaced"), self._end
        ).configure()

    def _pull(self) -> Iterator[TimedFrame]:
        for picture in pull_frames(self._end):
            source, pts, duration = self._waiting.popleft()
            picture.pts, picture.time_base = source.pts, source.time_base  # the filter has others
            yield picture, pts, duration


def deinterlace_frames(frames: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
    """Yield the frames of a stream; interlaced frames are deinterlaced."""
    deinterlacer = Deinterlacer()
    for picture, pts, duration in frames:
        yield from deinterlacer.feed(picture, pts, duration)
    yield from deinterlacer.flush()


def warn_of_interlacing(
    frames: Iterable[TimedFrame], warnings: list[str], time_base: Fraction
) -> Iterator[TimedFrame]:
    """Yield the frames of a stream; report the first interlaced frame after progressive ones, as in
    recordings of several programmes. A stream that begins with one is reported before the work.

    Args:
        frames: as they are decoded.
        warnings: to which the report is added.
        time_base: of the frames' pts, in seconds.
    """
    reported = False
    for number, (picture, pts, duration) in enumerate(frames):
        if picture.interlaced_frame and not reported:
            reported = True
            if number:
                warnings.append(
                    f"frames are interlaced from {float(pts * time_base):.2f} s on: use "
                    "--deinterlace for progressive frames"
                )
        yield picture, pts, duration
