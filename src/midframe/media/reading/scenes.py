"""Detect cuts, across which nothing is interpolated, by FFmpeg's scdet filter."""

import av

from midframe.media.colour.filters import picture_buffer
from midframe.options import SourceOptions

DEFAULT_THRESHOLD = SourceOptions.cut_threshold
"""Minimum scene change score, from 0 to 100, of the first frame of a new scene."""


class CutDetector:
    """Detects which frames begin a new scene.

    Args:
        like: the stream, or a frame with the size and pixel format of all frames.
        threshold: minimum score of a cut, from 0 to 100.
    """

    def __init__(
        self, like: av.VideoStream | av.VideoFrame, threshold: float = DEFAULT_THRESHOLD
    ) -> None:
        self._graph = av.filter.Graph()
        source = (
            picture_buffer(self._graph, like)
            if isinstance(like, av.VideoFrame)
            else self._graph.add_buffer(template=like, time_base=like.time_base)
        )
        detector = self._graph.add("scdet", threshold=str(threshold))
        self._graph.link_nodes(source, detector, self._graph.add("buffersink"))
        self._graph.configure()
        self._first = True

    def begins_scene(self, frame: av.VideoFrame) -> bool:
        """Return whether the next frame of the stream begins a new scene; false for the first."""
        self._graph.vpush(frame)
        marked = "lavfi.scd.time" in self._graph.vpull().metadata
        first = self._first
        self._first = False
        return marked and not first
