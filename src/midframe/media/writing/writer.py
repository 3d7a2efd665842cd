"""Writing a video file: encoded frames with exact times, and the other streams of the source."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av

from midframe.errors import SourceError, VideoError
from midframe.media.colour.conversion import Colour
from midframe.media.containers import (
    CONTAINER_OPTIONS,
    MILLISECOND_FORMATS,
    MINIMAL_FORMATS,
    container_format,
)
from midframe.media.pixel_formats import has_alpha
from midframe.media.reading.opacity import lost_alpha
from midframe.media.reading.source import FrameSource
from midframe.media.reading.survey import Span
from midframe.media.reading.video_file import file_url
from midframe.media.streams.output_streams import OUTPUT_ERRORS, reason_of
from midframe.media.streams.stream_writer import StreamsFailed, StreamWriter
from midframe.media.streams.streams import StreamPlan
from midframe.media.streams.trials import plan_streams
from midframe.media.writing.display_size import set_display_size
from midframe.media.writing.encoder_options import opening_encoder
from midframe.media.writing.encoders import Encoding, check_codec, stream_tag
from midframe.media.writing.mark import NAME, write_mark
from midframe.media.writing.metadata import (
    content_metadata,
    convert_chapters,
    needs_apple_format,
    stream_metadata,
)
from midframe.media.writing.spherical_boxes import Template, hide_apple_boxes
from midframe.media.writing.track_flags import disable_texts
from midframe.outputs import unfinished_path


class VideoWriter:
    """A video file that is written under a temporary name and renamed at the end of a `with` block
    without an error.

    Either frames are encoded (`write_frame`), or encoded packets are interleaved with those of the
    source's other streams (`join`).

    Args:
        path: the final name; its suffix determines the container.
        reader: the source, whose metadata and other streams are copied.
        picture: a frame of the source.
        colour: how its samples represent colours.
        encoding: of the frames.
        slow: factor of slow motion.
        mute: drop sound.
        with_other_streams: write the source's other streams and chapters too, if the container
            supports them.
        plan: how each other stream is written; found by trial if None.
        span: part of the source that is shown; None for all.
        matrix: display matrix, 9 integers; None if frames are upright.
        template: of the video stream, only for `join`; None for a stream with an encoder.
        unfinished: temporary path; in the folder of the final one if None.
        mark: from `mark_of`; identifies the file as a result of midframe.

    Raises:
        StreamsFailed: the header of the file cannot be written because of other streams.
        VideoError: the container does not exist or does not support the codec, or the file cannot
            be written.
    """

    def __init__(
        self,
        path: Path,
        reader: FrameSource,
        picture: av.VideoFrame,
        colour: Colour,
        encoding: Encoding,
        *,
        slow: Fraction = Fraction(1),
        mute: bool = False,
        with_other_streams: bool = True,
        plan: StreamPlan | None = None,
        span: Span | None = None,
        matrix: Sequence[int] | None = None,
        template: Template | None = None,
        unfinished: Path | None = None,
        mark: str = NAME,
    ) -> None:
        self.path = path
        self.unfinished = unfinished or unfinished_path(path)
        self.colour = colour
        self.encoding = encoding
        self.span = span
        self.slow = slow
        self._has_encoder = template is None
        self.converted: list[str] = []
        """Descriptions of the converted streams and their conversion."""
        self.dropped: list[str] = []
        """Descriptions of the dropped streams and metadata, with reasons."""
        self._damage: list[str] = []
        self.source_metadata = content_metadata(reader.contents.metadata)
        """Metadata of the source's file that is written to the result."""
        if plan is None:
            plan = plan_streams(
                reader.path,
                reader.other_streams if with_other_streams else (),
                path,
                slow,
                mute=mute,
                changed_sounds=reader.contents.changed_sounds,
            )
        self.container = self._open()
        self._strict_source = reader.path if reader.damage.strict else None
        self.stream_writer = StreamWriter(
            self.container, plan, slow, span, strict=reader.damage.strict
        )
        """All streams except the video."""
        try:
            check_codec(self.container, path.suffix, encoding.encoder)
            self._add_video_stream(template)
            self._report_losses(reader)
            self._write_metadata(reader, matrix, plan.time_code)
            if with_other_streams:
                self._add_other_streams(reader)
            write_mark(self.container, self.stream, mark)
            with opening_encoder():
                self.container.start_encoding()
        except av.FFmpegError as error:
            self.abandon()
            raise self._header_error(error) from error
        except BaseException:
            self.abandon()
            raise

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is not None:
            return self.abandon()
        try:
            self.finish()
        except BaseException:
            self.abandon()
            raise

    def write_frame(self, picture: av.VideoFrame, pts: int) -> None:
        """Encode a frame, with its pts in the encoding's time base."""
        self._mux(self.stream.encode(self.encoding.frame(picture, self.colour, pts)))

    @property
    def damage(self) -> list[str]:
        """Return descriptions of lost packets of other streams, with their times."""
        return self.stream_writer.damage + self._damage

    def join(self, encoded: Iterable[av.Packet], others: Iterable[av.Packet]) -> None:
        """Write the packets of the video, in decoding order, interleaved with those of the source's
        other streams."""
        video_packets = iter(encoded)
        video_packet = next(video_packets, None)
        for time, packet in self.stream_writer.select_packets(others):
            until = None if time is None else time * self.slow
            while (
                video_packet
                and until is not None
                and video_packet.dts * self.encoding.time_base <= until
            ):
                self._write_encoded(video_packet)
                video_packet = next(video_packets, None)
            self._write_other(packet)
        while video_packet:
            self._write_encoded(video_packet)
            video_packet = next(video_packets, None)

    def _write_other(self, packet: av.Packet) -> None:
        try:
            self.stream_writer.write(packet)
        except (av.FFmpegError, OSError) as error:
            raise self._write_error(error) from error

    def _write_encoded(self, packet: av.Packet) -> None:
        packet.stream = self.stream
        packet.time_base = self.encoding.time_base
        self._mux([packet])

    def finish(self) -> None:
        """Flush the encoder and rename the file.

        Raises:
            StreamsFailed: the file cannot be finished because of other streams.
            VideoError: the file cannot be written.
            SourceError: other streams are damaged, and the source is read with `strict`.
        """
        if self._has_encoder:
            self._mux(self.stream.encode(None))
        try:
            self.stream_writer.flush()
            if self._strict_source and self.damage:
                raise SourceError(
                    f"{self._strict_source} is damaged: {self.damage[0]}; without --strict the "
                    "damage is bridged"
                )
            shown = self.stream_writer.texts_shown
            self.container.close()
            if self.container.format.name in ("mp4", "mov"):
                disable_texts(self.unfinished, shown)
                if not self._has_encoder:
                    hide_apple_boxes(self.unfinished)
            self._write_sample_aspect_ratio()
            self.unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            if error.errno not in OUTPUT_ERRORS and self.stream_writer.outputs:
                reason = f"the file cannot be finished with it: {reason_of(error)}"
                raise StreamsFailed(self.stream_writer.suspects, reason) from error
            raise self._write_error(error) from error

    def _write_sample_aspect_ratio(self) -> None:
        """Write the sample aspect ratio in containers that store it as a display size."""
        encoding = self.encoding
        aspect = encoding.sample_aspect_ratio
        if self.container.format.name not in MILLISECOND_FORMATS or aspect in (None, 0, 1):
            return
        assert aspect, "not None"
        try:
            set_display_size(self.unfinished, encoding.width, encoding.height, aspect)
        except ValueError as reason:
            self.dropped.append(f"sample aspect ratio {aspect} ({reason})")

    def abandon(self) -> None:
        """Close and delete the file."""
        with suppress(av.FFmpegError, OSError):  # the file is deleted whatever state it is in
            self.container.close()
        self.unfinished.unlink(missing_ok=True)

    def _open(self) -> av.container.OutputContainer:
        suffix = self.path.suffix.lower()
        form = container_format(suffix)
        options = dict(CONTAINER_OPTIONS.get(suffix, {}))
        if form in ("mp4", "mov") and needs_apple_format(self.source_metadata):
            options["movflags"] += "+use_metadata_tags"
        if not self._has_encoder:
            # the boxes of spherical videos are not part of the MP4 standard
            options["strict"] = "unofficial"
        try:
            self.unfinished.touch()
            return av.open(file_url(self.unfinished), "w", format=form, container_options=options)
        except (av.FFmpegError, OSError) as error:
            raise self._write_error(error) from error

    def _report_losses(self, reader: FrameSource) -> None:
        """Report alpha and chapters that the result cannot store."""
        form = self.encoding.pixel_format
        drops_alpha = self.colour.alpha and not has_alpha(av.VideoFormat(form))
        if drops_alpha and (lost := lost_alpha(reader)):
            self.dropped.append(f"{lost} ({form} has none: prores, vp9 and ffv1 can keep it)")
        if self.container.format.name in MINIMAL_FORMATS and reader.contents.chapters:
            self.dropped.append(f"chapters ({self.path.suffix} files cannot hold them)")

    def _write_metadata(
        self, reader: FrameSource, matrix: Sequence[int] | None, time_code: str | None
    ) -> None:
        """Set the metadata of the file and of its video stream."""
        self.stream.metadata.update(stream_metadata(reader.contents.stream_metadata, self.path))
        self.stream.disposition = reader.contents.disposition
        if matrix:
            self.stream.set_display_matrix(matrix)
        self.container.metadata.update(self.source_metadata)
        if time_code:
            self.stream.metadata["timecode"] = time_code

    def _add_other_streams(self, reader: FrameSource) -> None:
        """Add the streams other than the video, and the chapters."""
        for source in reader.other_streams:
            self.stream_writer.add(source, stream_metadata(source.metadata, self.path))
        self.converted = self.stream_writer.plan.converted
        self.dropped += self.stream_writer.plan.dropped
        chapters = reader.contents.chapters
        self.container.set_chapters(
            convert_chapters(chapters, reader.contents.shift, self.span, self.slow)
        )

    def _add_video_stream(self, template: Template | None) -> None:
        """Add the video stream: with an encoder, or from a template for encoded packets."""
        encoding = self.encoding
        if template is None:
            self.stream = self.container.add_stream(
                encoding.encoder, encoding.rate, options=dict(encoding.options)
            )
            encoding.configure(self.stream.codec_context)
        else:
            self.stream = self.container.add_stream_from_template(template.stream, opaque=True)
            self.stream.codec_context.extradata = template.extradata
            self.stream.codec_context.framerate = encoding.rate
        self.stream.time_base = self.encoding.time_base
        if self.container.format.name == "avi":  # it counts frames
            self.stream.codec_context.time_base = self.stream.time_base = 1 / self.encoding.rate
        if tag := stream_tag(self.encoding.encoder):
            self.stream.codec_tag = tag

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            try:
                self.container.mux_one(packet)
            except (av.FFmpegError, OSError) as error:
                if error.errno in OUTPUT_ERRORS or not self.stream_writer.outputs:
                    raise self._write_error(error) from error
                # muxers buffer packets to interleave them: another stream may have caused it
                self._damage.append(f"a packet cannot be written ({reason_of(error)})")

    def _header_error(self, error: av.FFmpegError) -> StreamsFailed | VideoError:
        """Return the error to raise if the header cannot be written: because of the disk, or of
        other streams, if there are any."""
        if error.errno in OUTPUT_ERRORS:
            return self._write_error(error)
        if self.stream_writer.outputs:
            reason = f"the file header cannot be written with it: {reason_of(error)}"
            return StreamsFailed(self.stream_writer.outputs, reason)
        return VideoError(
            f"{self.path} cannot be written with {self.encoding.encoder} ({error.strerror}): "
            "choose another --codec"
        )

    def _write_error(self, error: Exception) -> VideoError:
        """Return the error to raise if the file cannot be written."""
        remedy = "choose another --codec, or an OUT of .mkv"
        if getattr(error, "errno", None) in OUTPUT_ERRORS:
            remedy = "choose another place for OUT"
        return VideoError(f"{self.path} cannot be written ({reason_of(error)}): {remedy}")
