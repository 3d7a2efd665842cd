"""GIF and APNG results."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.reading.icc_profile import lost_profile
from midframe.media.reading.image_sequence import image_files
from midframe.media.reading.opacity import lost_alpha
from midframe.media.writing.animation import FASTEST_GIF, plays_of, write_animation
from midframe.media.writing.encoders import Encoding, lossless_encoding
from midframe.media.writing.mark import insert_mark
from midframe.options import EncodingOptions
from midframe.outputs import check_output_file
from midframe.video.plan import Extent
from midframe.video.sinks.checks import check_written_by_midframe, is_complete_result, result_mark
from midframe.video.sinks.image_results import decode_segments, report_dropped
from midframe.video.sinks.lost_colours import lost_transfer
from midframe.video.sinks.protocol import Conversion, abort_on_error
from midframe.video.sinks.segment_encoder import SegmentedSink, SegmentEncoder
from midframe.video.sinks.verification import verify
from midframe.video.timeline import ConstantRate


def is_gif(path: Path) -> bool:
    """Return whether a path has the suffix of a GIF."""
    return path.suffix.lower() == ".gif"


class AnimationTarget:
    """A GIF or an APNG: a `Target`."""

    stores_display_matrix = False
    stores_aspect_ratio = False
    constant_rate_only = False
    starts_at_zero = False

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        self.path = path
        self.options = options
        self.min_step = Fraction(1, FASTEST_GIF) if is_gif(path) else Fraction(0)

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """See `Target`."""
        check_output_file(
            self.path, inputs=image_files(source) or [source], overwrite=overwrite or resume
        )
        if not resume:
            check_written_by_midframe(self.path)

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """See `Target`: an animation states the fingerprint of its options in a comment."""
        return is_complete_result(
            self.path, result_mark(settings, self.options), overwrite=overwrite
        )

    def choose_encoding(self, conversion: Conversion) -> Encoding:
        """Return the encoding of the segments.

        Raises:
            VideoError: viewers do not play the frame rate.
        """
        rate = conversion.timeline.rate
        constant = isinstance(conversion.timeline, ConstantRate)
        if is_gif(self.path) and rate > FASTEST_GIF and constant:
            raise VideoError(
                f"viewers play GIFs of {float(rate):g} frames per second too slowly: give --fps 50 "
                "or less"
            )
        return lossless_encoding(
            conversion.picture, conversion.colour, **conversion.encoding_arguments
        )

    def begin(self, conversion: Conversion, *, resume: bool, overwrite: bool) -> "AnimationSink":
        """See `Target`."""
        encoding = self.choose_encoding(conversion)
        encoder = SegmentEncoder(
            self.path, conversion, encoding, resume=resume, overwrite=overwrite
        )
        with abort_on_error(encoder.abort):
            return AnimationSink(self, conversion, encoder)


class AnimationSink(SegmentedSink):
    """Writes an animation from finished segments: a `Sink`.

    All frames are decoded twice for a GIF, because its palette is computed from all of them.
    """

    stores_spherical_metadata = False

    def __init__(
        self, target: AnimationTarget, conversion: Conversion, encoder: SegmentEncoder
    ) -> None:
        self.path = target.path
        self.mark = result_mark(conversion.settings, target.options)
        self.conversion = conversion
        self.encoder = encoder
        self.encoding = encoder.encoding
        self.finished = encoder.finished
        report_dropped(conversion, self.path.name, _lost(self.path, conversion))

    def finish(self, extent: Extent) -> None:
        """See `Sink`."""
        unfinished = self.encoder.folder / self.path.name
        time_base, end = self.encoding.time_base, extent.end_pts
        last = max(packet.pts for packet in self.encoder.segments.packets(end))
        try:
            write_animation(
                unfinished,
                lambda: decode_segments(self.encoder, end),
                time_base,
                self.encoding.rate,
                plays_of(self.conversion.source.path),
                gif=is_gif(self.path),
                last=(end - last) * time_base,
            )
            insert_mark(unfinished, self.mark)
            unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"{self.path} cannot be written ({error}): choose another place for OUT"
            ) from error
        self.encoder.remove()
        verify(self.path, self.conversion, self.encoding, extent)


def _lost(path: Path, conversion: Conversion) -> Iterator[str]:
    """Yield the properties of the images that the result does not support."""
    yield from lost_profile(conversion.source.contents)
    yield from lost_transfer(conversion, path.suffix.removeprefix(".").upper())
    if not is_gif(path):
        if conversion.colour.high_bit_depth and conversion.colour.alpha:
            yield "bits beyond 8 of each sample (APNG with alpha)"
        return
    if conversion.colour.high_bit_depth:
        yield "bits beyond 8 of each sample (GIF)"
    if (
        conversion.colour.alpha
        and conversion.source.contents.format != "gif"
        and lost_alpha(conversion.source)
    ):
        yield "partial transparency (GIF pixels are opaque or transparent)"
