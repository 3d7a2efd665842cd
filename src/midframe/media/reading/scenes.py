"""Detect cuts, across which nothing is interpolated, by FFmpeg's scdet filter."""

import av

from midframe.media.colour.conversion import reformat
from midframe.media.colour.filters import FrameFormat, format_of, picture_buffer
from midframe.options import SourceOptions

DEFAULT_THRESHOLD = SourceOptions.cut_threshold
"""Minimum scene change score, from 0 to 100, of the first frame of a new scene."""


class CutDetector:
    """Detects for each frame of a stream, in order, whether it begins a new scene.

    Args:
        threshold: minimum score of a cut, from 0 to 100.
    """

    def __init__(self, threshold: float = DEFAULT_THRESHOLD) -> None:
        self._threshold = threshold
        self._graph: av.filter.Graph | None = None
        self._format: FrameFormat | None = None
        """Of the first frame."""

    def begins_scene(self, frame: av.VideoFrame) -> bool:
        """Return whether the next frame of the stream begins a new scene; false for the first."""
        first = self._graph is None
        self._graph = self._graph or self._graph_for(frame)
        self._graph.vpush(self._in_first_format(frame))
        marked = "lavfi.scd.time" in self._graph.vpull().metadata
        return marked and not first

    def _in_first_format(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame in the size and the pixel format of the first one, which the filter reads
        of all frames."""
        if format_of(frame) == self._format:
            return frame
        assert self._format, "the graph was built for the first frame"
        width, height, pixel_format = self._format
        scaled = reformat(frame, width=width, height=height, format=pixel_format)
        scaled.pts, scaled.time_base = frame.pts, frame.time_base
        return scaled

    def _graph_for(self, frame: av.VideoFrame) -> av.filter.Graph:
        """Build the filter graph for frames like one: the header of a damaged file may not state
        their format."""
        self._format = format_of(frame)
        graph = av.filter.Graph()
        detector = graph.add("scdet", threshold=str(self._threshold))
        graph.link_nodes(picture_buffer(graph, frame), detector, graph.add("buffersink"))
        graph.configure()
        return graph
