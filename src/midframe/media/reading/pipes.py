"""Frames through pipes: y4m (or what else FFmpeg reads from a stream) in standard input, y4m in
standard output."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from midframe.errors import SourceError
from midframe.media.colour.conversion import Colour, colour_of
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.survey import EMPTY, Survey
from midframe.media.reading.video_file import open_video, read_error
from midframe.media.writing.encoders import Encoding, encoded_colour

STREAM = Path("-")
"""Stands for standard input and output."""
FORMATS = {"yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"}
"""What y4m can hold and most programs read."""


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


class PipeWriter:
    """Writes y4m to standard output, from the first frame on."""

    def __init__(self, encoding: Encoding, colour: Colour) -> None:
        self.encoding, self.colour = encoding, colour
        self._container = av.open(
            "pipe:1", "w", format="yuv4mpegpipe", container_options={"strict": "experimental"}
        )
        self._stream = self._container.add_stream(encoding.encoder, encoding.rate)
        encoding.configure(self._stream.codec_context)
        self._count = 0

    def __enter__(self) -> "PipeWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def write(self, picture: av.VideoFrame) -> None:
        """Write the next frame; frames come at equal steps."""
        self._container.mux(
            self._stream.encode(self.encoding.frame(picture, self.colour, self._count))
        )
        self._count += 1


def pipe_encoding(
    picture: av.VideoFrame,
    colour: Colour,
    *,
    rate: Fraction,
    sample_aspect_ratio: Fraction | None,
    **_: object,
) -> Encoding:
    """Frames as they are, in a format that y4m has; without alpha, which it has not."""
    own = picture.format.name.replace("yuvj", "yuv")
    usual = "yuv420p10le" if colour.high_bit_depth else "yuv420p"
    form = own if own in FORMATS else usual
    return Encoding(
        "wrapped_avframe", {}, form, picture.width, picture.height, 1 / rate, rate,
        encoded_colour(colour, picture, form), picture.color_primaries, picture.color_trc,
        sample_aspect_ratio,
    )  # fmt: skip
