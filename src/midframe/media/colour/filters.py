"""FFmpeg's filters on frames."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

FrameFormat = tuple[int, int, str]
"""Width, height and pixel format. A filter reads outside of frames that have another one than those
that its graph is built for."""


def format_of(picture: av.VideoFrame) -> FrameFormat:
    """Return the size and the pixel format of a frame."""
    return picture.width, picture.height, picture.format.name


def pull_frames(end: Any) -> Iterator[Any]:
    """Yield all frames that a graph has ready."""
    while True:
        try:
            frame = end.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame


class PictureFilter:
    """A chain of filters that outputs one frame for each input. It is built for the first frame,
    and again for a frame of another size or pixel format.

    Args:
        filters: FFmpeg's names and arguments, in order.
    """

    def __init__(self, *filters: tuple[str, str]) -> None:
        self._filters = filters
        self._format: FrameFormat | None = None
        """Of the frames that the chain is built for."""

    def _build(self, like: av.VideoFrame) -> None:
        self._graph = graph = av.filter.Graph()  # filters hold no reference to their graph
        graph.threads = 1  # others would be started for each graph, and wait in it
        self._begin: Any = picture_buffer(graph, like)
        self._end: Any = graph.add("buffersink")
        chain = (graph.add(name, arguments) for name, arguments in self._filters)
        graph.link_nodes(self._begin, *chain, self._end).configure()

    def apply(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Return the filtered frame, with the time and duration of the input."""
        if format_of(picture) != self._format:
            self._build(picture)
            self._format = format_of(picture)
        self._begin.push(picture)
        result: av.VideoFrame = self._end.pull()
        result.pts = picture.pts
        result.duration = picture.duration
        if picture.time_base:
            result.time_base = picture.time_base
        return result


def picture_buffer(graph: av.filter.Graph, like: av.VideoFrame) -> Any:
    """Add a buffer source to a graph, for frames of the size and pixel format of `like`."""
    return graph.add_buffer(
        width=like.width,
        height=like.height,
        format=like.format,
        time_base=like.time_base or Fraction(1, 100),
    )
