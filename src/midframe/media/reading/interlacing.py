"""Whole frames of interlaced ones, whose odd and even rows were taken at two moments, by FFmpeg's
bwdif filter."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

from midframe.media.colour.filters import picture_buffer, pulled
from midframe.media.reading.frame_clock import TimedFrame


class Deinterlacer:
    """Makes one whole frame of each that holds two fields; others stay as they are."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._begin: Any = None
        self._end: Any = None
        self._times: deque[tuple[int | Fraction, int | Fraction]] = deque()
        """The pts and durations of frames on their way through."""

    def feed(
        self, picture: av.VideoFrame, pts: int | Fraction, duration: int | Fraction
    ) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Yield what is whole once a picture is seen: the one before it."""
        if self._graph is None:
            self._configure(picture)
        self._times.append((pts, duration))
        self._begin.push(picture)
        yield from self._whole()

    def rest(self) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Yield the last one."""
        if self._graph is not None:
            self._begin.push(None)
            yield from self._whole()

    def _configure(self, picture: av.VideoFrame) -> None:
        """Make the graph for pictures like one."""
        self._graph = graph = av.filter.Graph()  # its filters do not keep it
        self._begin, self._end = picture_buffer(graph, picture), graph.add("buffersink")
        graph.link_nodes(
            self._begin, graph.add("bwdif", "mode=send_frame:deint=interlaced"), self._end
        ).configure()

    def _whole(self) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        for picture in pulled(self._end):
            yield picture, *self._times.popleft()


def deinterlaced(frames: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
    """Yield the frames of a stream, interlaced ones made progressive."""
    fields = Deinterlacer()
    for picture, pts, duration in frames:
        yield from fields.feed(picture, pts, duration)
    yield from fields.rest()
