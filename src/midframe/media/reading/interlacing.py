"""Whole frames of interlaced ones, whose odd and even rows were taken at two moments, by FFmpeg's
bwdif filter."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av

from midframe.media.colour.filters import pulled
from midframe.media.reading.frame_clock import TimedFrame


class Deinterlacer:
    """Makes one whole frame of each that holds two fields; others stay as they are."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._graph = graph = av.filter.Graph()  # its filters do not keep it
        self._begin = graph.add_buffer(template=stream, time_base=stream.time_base)
        self._end = graph.add("buffersink")
        graph.link_nodes(
            self._begin, graph.add("bwdif", "mode=send_frame:deint=interlaced"), self._end
        ).configure()
        self._times: deque[tuple[int | Fraction, int | Fraction]] = deque()
        """The pts and durations of frames on their way through."""

    def feed(
        self, picture: av.VideoFrame, pts: int | Fraction, duration: int | Fraction
    ) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Yield what is whole once a picture is seen: the one before it."""
        self._times.append((pts, duration))
        self._begin.push(picture)
        yield from self._whole()

    def rest(self) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Yield the last one."""
        self._begin.push(None)
        yield from self._whole()

    def _whole(self) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        for picture in pulled(self._end):
            yield picture, *self._times.popleft()


def deinterlaced(frames: Iterable[TimedFrame], stream: av.VideoStream) -> Iterator[TimedFrame]:
    """Yield the frames of a stream, interlaced ones made progressive."""
    fields = Deinterlacer(stream)
    for picture, pts, duration in frames:
        yield from fields.feed(picture, pts, duration)
    yield from fields.rest()
