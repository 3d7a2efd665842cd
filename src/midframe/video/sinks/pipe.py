"""Results as y4m in standard output."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.reading.icc_profile import lost_profile
from midframe.media.reading.opacity import lost_alpha
from midframe.media.writing.pipes import PipeWriter, pipe_encoding
from midframe.options import EncodingOptions
from midframe.video.plan import Extent
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.sinks.lost_colours import lost_samples, lost_transfer
from midframe.video.sinks.protocol import Conversion
from midframe.video.timeline import VariableRate


class PipeTarget:
    """Standard output, or another open file: a `Target`.

    Args:
        path: name in messages.
        options: of the encoding.
        descriptor: of an open file; 1 for standard output.
    """

    stores_display_matrix = False
    stores_aspect_ratio = True
    constant_rate_only = True
    min_step = Fraction(0)
    starts_at_zero = False

    def __init__(self, path: Path, options: EncodingOptions, descriptor: int = 1) -> None:
        self.path = path
        self.options = options
        self.descriptor = descriptor

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """See `Target`: standard output needs no check."""

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """See `Target`."""
        return False

    def begin(self, conversion: Conversion, *, resume: bool, overwrite: bool) -> "PipeSink":
        """See `Target`."""
        if isinstance(conversion.timeline, VariableRate):
            raise VideoError("y4m needs a constant frame rate: drop --vfr")
        if resume:
            raise VideoError("output to a pipe cannot be resumed: drop --resume")
        return PipeSink(conversion, self.descriptor)


class PipeSink:
    """Writes frames immediately, without segments: a `Sink`."""

    finished = 0
    stores_spherical_metadata = False

    def __init__(self, conversion: Conversion, descriptor: int) -> None:
        self.encoding = pipe_encoding(
            conversion.picture, conversion.colour, **conversion.encoding_arguments
        )
        self.colour = conversion.colour
        self.descriptor = descriptor
        self.report = conversion.report
        conversion.report.dropped = (*conversion.dropped_streams("y4m"), *self._lost(conversion))

    def _lost(self, conversion: Conversion) -> Iterator[str]:
        """Yield the properties of the pictures that y4m does not support."""
        if conversion.colour.alpha and (lost := lost_alpha(conversion.source)):
            yield f"{lost} (y4m)"
        yield from lost_samples(conversion.picture.format, self.encoding.pixel_format)
        yield from lost_transfer(conversion, "y4m")
        yield from lost_profile(conversion.source.contents)

    def write(self, frames: Iterable[RenderedFrame]) -> None:
        """See `Sink`."""
        try:
            with PipeWriter(self.encoding, self.colour, self.descriptor) as writer:
                for frame in frames:
                    writer.write(frame.picture)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"standard output cannot be written ({error}): check the next program of the pipe"
            ) from error

    def check_progress(self) -> None:
        """See `Sink`: there is no timeout, because the next program of the pipe may be slow."""

    def finish(self, extent: Extent) -> None:
        """See `Sink`: all frames are written already."""
        self.report.length_out = self.report.frames_out / self.encoding.rate

    def abort(self) -> None:
        """See `Sink`: written frames cannot be deleted."""
