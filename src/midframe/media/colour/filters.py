"""FFmpeg's filters on frames."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av


def pull_frames(end: Any) -> Iterator[Any]:
    """Yield all frames that a graph has ready."""
    while True:
        try:
            frame = end.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame


class PictureFilter:
    """A chain of filters that outputs one frame for each input.

    Args:
        like: a frame with the size and pixel format of all frames that are filtered.
        filters: FFmpeg's names and arguments, in order.
    """

    def __init__(self, like: av.VideoFrame, *filters: tuple[str, str]) -> None:
        self._graph = graph = av.filter.Graph()  # filters hold no reference to their graph
        self._begin: Any = picture_buffer(graph, like)
        self._end: Any = graph.add("buffersink")
        graph.link_nodes(
            self._begin, *(graph.add(name, arguments) for name, arguments in filters), self._end
        ).configure()

    def apply(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Return the filtered frame, with the time and duration of the input."""
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
