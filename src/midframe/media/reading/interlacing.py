"""Deinterlacing, by FFmpeg's bwdif filter."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av

from midframe.media.colour.filters import pull_frames
from midframe.media.reading.frame_clock import TimedFrame


class Deinterlacer:
    """Converts each interlaced frame to one progressive frame; others are not changed."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._graph = graph = av.filter.Graph()  # filters hold no reference to their graph
        self._begin = graph.add_buffer(template=stream, time_base=stream.time_base)
        self._end = graph.add("buffersink")
        graph.link_nodes(
            self._begin, graph.add("bwdif", "mode=send_frame:deint=interlaced"), self._end
        ).configure()
        self._times: deque[tuple[int | Fraction, int | Fraction]] = deque()
        """pts and durations of the frames in the filter."""

    def feed(
        self, picture: av.VideoFrame, pts: int | Fraction, duration: int | Fraction
    ) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Add a frame; yield the frames that are ready, usually the previous one."""
        self._times.append((pts, duration))
        self._begin.push(picture)
        yield from self._whole()

    def flush(self) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        """Yield the last frame."""
        self._begin.push(None)
        yield from self._whole()

    def _whole(self) -> Iterator[tuple[av.VideoFrame, int | Fraction, int | Fraction]]:
        for picture in pull_frames(self._end):
            yield picture, *self._times.popleft()


def deinterlace_frames(
    frames: Iterable[TimedFrame], stream: av.VideoStream
) -> Iterator[TimedFrame]:
    """Yield the frames of a stream; interlaced frames are deinterlaced."""
    fields = Deinterlacer(stream)
    for picture, pts, duration in frames:
        yield from fields.feed(picture, pts, duration)
    yield from fields.flush()
