"""Frames from a pipe: y4m, or what else FFmpeg reads from a stream, in standard input."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from midframe.errors import SourceError
from midframe.media.colour.conversion import Colour, colour_of
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.survey import EMPTY, Survey
from midframe.media.reading.video_file import open_video, read_error

STREAM = Path("-")
"""Stands for standard input and output."""


class PipeReader(VideoReader):
    """A stream that can be read once; otherwise like a `VideoReader`. Only its picture is read."""

    def first_picture(self) -> tuple[av.VideoFrame, Colour]:
        """Decode the first frame, which `read` gives out again."""
        try:
            first = next(super()._decoded(self.container), None)
        except av.FFmpegError as error:
            raise read_error(self.path, error) from error
        if first is None:
            raise SourceError("standard input has no frame that can be decoded: y4m is expected")
        self._peeked = first
        self.others = []
        self.start = (first.pts or 0) * self.time_base
        self.source_rate = replace(self.source_rate, anchor=self.start)
        return self._arranger.arrange(first), colour_of(first)

    _can_reopen = False

    def _open(self) -> av.container.InputContainer:
        return open_video(self.path, "pipe:0")

    def _survey(self) -> Survey:
        return EMPTY

    def _decoded(
        self, container: Any, begin: Fraction | None = None, *, report: bool = True
    ) -> Iterator[av.VideoFrame]:
        return chain([self._peeked], super()._decoded(container))
