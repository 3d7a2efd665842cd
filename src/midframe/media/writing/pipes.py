"""Writing y4m to standard output."""

from fractions import Fraction
from types import TracebackType

import av

from midframe.media.colour.conversion import Colour
from midframe.media.writing.encoders import Encoding, encoded_colour

FORMATS = {"yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"}
"""Pixel formats of y4m that most programs support."""


class PipeWriter:
    """Writes y4m to standard output.

    Args:
        encoding: of the frames.
        colour: how the samples of the frames represent colours.
        descriptor: of an open file; 1 for standard output.
    """

    def __init__(self, encoding: Encoding, colour: Colour, descriptor: int = 1) -> None:
        self.encoding = encoding
        self.colour = colour
        self._container = av.open(
            f"pipe:{descriptor}",
            "w",
            format="yuv4mpegpipe",
            container_options={"strict": "experimental"},
        )
        self._stream = self._container.add_stream(encoding.encoder, encoding.rate)
        encoding.configure(self._stream.codec_context)
        self._count = 0

    def __enter__(self) -> "PipeWriter":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if error_type is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def write(self, picture: av.VideoFrame) -> None:
        """Write the next frame; frames have equal steps."""
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
    """Return an encoding without compression, in the nearest pixel format of y4m, without alpha."""
    own = picture.format.name.replace("yuvj", "yuv")
    usual = "yuv420p10le" if colour.high_bit_depth else "yuv420p"
    pixel_format = own if own in FORMATS else usual
    return Encoding(
        encoder="wrapped_avframe",
        options={},
        pixel_format=pixel_format,
        width=picture.width,
        height=picture.height,
        time_base=1 / rate,
        rate=rate,
        colour=encoded_colour(colour, picture, pixel_format),
        primaries=picture.color_primaries,
        transfer=picture.color_trc,
        sample_aspect_ratio=sample_aspect_ratio,
    )
