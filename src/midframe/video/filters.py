"""What the users of FFmpeg's filters share."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av


def pulled(end: Any) -> Iterator[Any]:
    """All frames that a graph has ready at its end."""
    while True:
        try:
            frame = end.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame


def without_side_data(frame: av.VideoFrame) -> av.VideoFrame:
    """The same frame, in the same memory, without captions and other data that belong to it alone."""
    graph = av.filter.Graph()
    begin = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    graph.link_nodes(begin, graph.add("sidedata", "mode=delete"), graph.add("buffersink")).configure()
    graph.push(frame)
    bare = graph.pull()
    assert isinstance(bare, av.VideoFrame)
    return bare
