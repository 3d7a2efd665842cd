"""Results as video files, with the other streams of the source."""

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.media.colour.spherical import spherical_metadata_of
from midframe.media.containers import MILLISECOND_FORMATS, MINIMAL_FORMATS, container_format
from midframe.media.reading.icc_profile import lost_profile
from midframe.media.reading.source import WHOLE_SOURCE, FrameSource
from midframe.media.reading.survey import Span
from midframe.media.streams.stream_writer import StreamsFailed
from midframe.media.streams.streams import StreamPlan, plan_time_code
from midframe.media.streams.trials import plan_streams
from midframe.media.writing.encoders import Encoding, choose_encoding
from midframe.media.writing.spherical_boxes import Template, template_of
from midframe.media.writing.writer import VideoWriter
from midframe.options import EncodingOptions
from midframe.video.plan import Extent
from midframe.video.sinks.checks import check_target, is_complete_result, result_mark
from midframe.video.sinks.lost_colours import lost_samples
from midframe.video.sinks.protocol import Conversion, abort_on_error
from midframe.video.sinks.segment_encoder import SegmentedSink, SegmentEncoder
from midframe.video.sinks.verification import verify
from midframe.video.timeline import ConstantRate, VariableRate


class VideoFileTarget:
    """A file of one of the `CONTAINERS`, with all other streams of the source: a `Target`."""

    stores_aspect_ratio = True
    min_step = Fraction(0)
    starts_at_zero = False

    def __init__(self, path: Path, options: EncodingOptions) -> None:
        self.path = path
        self.options = options
        self.stores_display_matrix = container_format(path.suffix) not in MINIMAL_FORMATS
        self.constant_rate_only = container_format(path.suffix) == "avi"

    def check(self, source: Path, *, overwrite: bool, resume: bool = False) -> None:
        """See `Target`."""
        check_target(source, self.path, overwrite or resume, own=not resume)

    def is_complete(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """See `Target`: a file contains the fingerprint of its options."""
        return is_complete_result(
            self.path, result_mark(settings, self.options), overwrite=overwrite
        )

    def choose_encoding(self, conversion: Conversion) -> Encoding:
        """Return the encoding of the result's frames.

        Raises:
            VideoError: the container does not support the frame rate, or the encoder does not
                accept the frames or the options.
        """
        if self.constant_rate_only and isinstance(conversion.timeline, VariableRate):
            raise VideoError(
                f"{self.path}: .avi files need a constant frame rate: drop --vfr, or use .mkv"
            )
        if (
            container_format(self.path.suffix) in MILLISECOND_FORMATS
            and conversion.timeline.rate > 1000
        ):
            raise VideoError(
                f"{self.path.suffix} files hold up to 1000 frames per second, not "
                f"{float(conversion.timeline.rate):.0f}: choose a lower --factor or --fps, or "
                "name an .mp4 file"
            )
        return choose_encoding(
            conversion.picture,
            conversion.colour,
            suffix=self.path.suffix,
            options=self.options,
            **conversion.encoding_arguments,
        )

    def begin(self, conversion: Conversion, *, resume: bool, overwrite: bool) -> "VideoFileSink":
        """See `Target`."""
        encoding = self.choose_encoding(conversion)
        encoder = SegmentEncoder(
            self.path, conversion, encoding, resume=resume, overwrite=overwrite
        )
        with abort_on_error(encoder.abort):
            return VideoFileSink(self.path, self.options, conversion, encoder)


class VideoFileSink(SegmentedSink):
    """Joins finished segments with the other streams of the source: a `Sink`.

    The constructor tries all streams in a temporary file, so that streams that the container
    refuses are found before hours of work.
    """

    def __init__(
        self, path: Path, options: EncodingOptions, conversion: Conversion, encoder: SegmentEncoder
    ) -> None:
        self.path = path
        self.options = options
        self.conversion = conversion
        self.encoder = encoder
        self.encoding = encoder.encoding
        self.finished = encoder.finished
        self.plan = _plan_streams(path, options, conversion, encoder.folder)
        """How the streams other than the video get into the result."""
        self.template = _template_of(path, conversion, self.encoding)
        """Template of the video stream of spherical and stereoscopic videos."""
        self.stores_spherical_metadata = self.template is not None
        while True:
            try:
                writer = self._writer(conversion.source, None)
                break
            except StreamsFailed as failure:
                self._drop(failure)
        writer.abandon()
        self._report_streams(writer)

    def finish(self, extent: Extent) -> None:
        """See `Sink`."""
        while True:
            try:
                writer = self._join(extent)
                break
            except StreamsFailed as failure:  # join again without these streams
                self._drop(failure)
        self._report_streams(writer)
        self.encoder.remove()
        verify(self.path, self.conversion, self.encoding, extent, writer)
        self.conversion.report.damage += tuple(writer.damage)

    def _drop(self, failure: StreamsFailed) -> None:
        for index in failure.indices:
            self.plan.drop(index, failure.reason)

    def _report_streams(self, writer: VideoWriter) -> None:
        picture = self.conversion.picture
        dropped = [
            *writer.dropped,
            *lost_samples(picture.format, self.encoding.pixel_format),
            *lost_profile(self.conversion.source.contents),
        ]
        self.conversion.report.converted = tuple(writer.converted)
        self.conversion.report.dropped = tuple(dropped)

    def _join(self, extent: Extent) -> VideoWriter:
        """Write the finished segments and the source's other streams to the result."""
        segments = self.encoder.segments
        extradata = segments.extradata()
        with self.conversion.source.reopen() as source:
            span = (
                None
                if self.conversion.source.time_range == WHOLE_SOURCE
                else Span(extent.begin, extent.end)
            )
            with self._writer(source, span) as writer:
                if writer.stream.codec_context.extradata not in (None, extradata):
                    raise VideoError(
                        f"{segments.folder} was started with another encoder: start again with "
                        "--overwrite"
                    )
                kept = [
                    stream
                    for stream in source.other_streams
                    if stream.index in writer.stream_writer.outputs
                ]
                writer.join(segments.packets(extent.end_pts), source.packets(kept))
        return writer

    def _writer(self, source: FrameSource, span: Span | None) -> VideoWriter:
        return VideoWriter(
            self.path,
            source,
            self.conversion.picture,
            self.conversion.colour,
            self.encoding,
            slow=self.conversion.timeline.slow,
            mute=self.options.mute,
            plan=self.plan,
            span=span,
            matrix=self.conversion.source.geometry.display_matrix,
            template=self.template,
            unfinished=self.encoder.folder / self.path.name,
            mark=result_mark(self.conversion.settings, self.options),
        )


def _plan_streams(
    path: Path, options: EncodingOptions, conversion: Conversion, scratch: Path
) -> StreamPlan:
    """Plan the streams other than the video, and the time code."""
    plan = plan_streams(
        conversion.source.path,
        conversion.source.other_streams,
        path,
        conversion.timeline.slow,
        mute=options.mute,
        scratch=scratch,
        changed_sounds=conversion.source.contents.changed_sounds,
    )
    constant = isinstance(conversion.timeline, ConstantRate) and conversion.timeline.slow == 1
    plan_time_code(plan, conversion.source, conversion.timeline.rate if constant else None)
    return plan


def _template_of(path: Path, conversion: Conversion, encoding: Encoding) -> Template | None:
    spherical = spherical_metadata_of(conversion.picture)
    form = container_format(path.suffix)
    flat_only = form == "mov"  # FFmpeg writes no `sv3d` there
    if not spherical or not spherical.can_be_stored or form in MINIMAL_FORMATS:
        return None
    if flat_only and spherical.spherical_mapping:
        return None
    with suppress(av.FFmpegError, ValueError):
        return template_of(encoding, spherical)
    return None  # MP4 does not support the codec: reported as dropped
