"""Detect cuts, across which nothing is interpolated, by FFmpeg's scdet filter."""

import av

from midframe.options import SourceOptions

DEFAULT_THRESHOLD = SourceOptions.cut_threshold
"""Scene change score, in percent, from which a frame counts as the first of a new scene."""


class CutDetector:
    """Detects for each frame of a stream, in order, whether it begins a new scene."""

    def __init__(self, stream: av.VideoStream, threshold: float = DEFAULT_THRESHOLD) -> None:
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(template=stream, time_base=stream.time_base)
        detector = self._graph.add("scdet", threshold=str(threshold))
        self._graph.link_nodes(source, detector, self._graph.add("buffersink"))
        self._graph.configure()
        self._first = True

    def begins_scene(self, frame: av.VideoFrame) -> bool:
        """Return whether the next frame of the stream begins a new scene. The first frame of all
        does not."""
        self._graph.vpush(frame)
        marked = "lavfi.scd.time" in self._graph.vpull().metadata
        first, self._first = self._first, False
        return marked and not first
