"""Writing a video file: encoded frames with exact times, and the other streams of the source."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av

from midframe.errors import SourceError, VideoError
from midframe.media.colour.conversion import Colour, has_alpha
from midframe.media.containers import (
    CODEC_SUFFIXES,
    CONTAINER_OPTIONS,
    IN_MILLISECONDS,
    PLAIN_FORMATS,
    container_format,
    supported_codecs,
)
from midframe.media.reading.opacity import lost_alpha
from midframe.media.reading.source import FrameSource
from midframe.media.reading.video_file import file_url
from midframe.media.streams.output_streams import OUTPUT_ERRORS, reason_of
from midframe.media.streams.stream_writer import Span, StreamsFailed, StreamWriter
from midframe.media.streams.streams import StreamPlan
from midframe.media.streams.trials import plan_streams
from midframe.media.writing.codecs import ENCODERS
from midframe.media.writing.display_size import set_display_size
from midframe.media.writing.encoder_options import opening_encoder
from midframe.media.writing.encoders import HEVC_TAG, Encoding
from midframe.media.writing.mark import NAME, write_mark
from midframe.media.writing.metadata import (
    content_metadata,
    convert_chapters,
    needs_apple_format,
    stream_metadata,
)
from midframe.media.writing.spherical_boxes import Template, hide_apple_boxes
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
        others: write the source's other streams and chapters too, if the container supports them.
        plan: how each of them is written; found by trial if None.
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
        others: bool = True,
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
        self._encodes = template is None
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
                reader.others if others else (),
                path,
                slow,
                mute=mute,
                changed_sounds=reader.contents.changed_sounds,
            )
        self.container = self._open()
        self._strict_source = reader.path if reader.damage.strict else None
        self.others = StreamWriter(self.container, plan, slow, span, strict=reader.damage.strict)
        """All streams except the video."""
        try:
            self._check_fits()
            self._add_picture(template)
            if (
                colour.alpha
                and not has_alpha(av.VideoFormat(encoding.pixel_format))
                and (lost := lost_alpha(reader))
            ):
                self.dropped.append(
                    f"{lost} ({encoding.pixel_format} has none: prores, vp9 and ffv1 can keep it)"
                )
            self.stream.metadata.update(stream_metadata(reader.contents.stream_metadata, path))
            self.stream.disposition = reader.contents.disposition
            if matrix:
                self.stream.set_display_matrix(matrix)
            if self.container.format.name in PLAIN_FORMATS and reader.contents.chapters:
                self.dropped.append(f"chapters ({path.suffix} files cannot hold them)")
            self.container.metadata.update(self.source_metadata)
            if plan.time_code:
                self.stream.metadata["timecode"] = plan.time_code
            if others:
                self._write_others(reader)
            write_mark(self.container, self.stream, mark)
            with opening_encoder():
                self.container.start_encoding()
        except av.FFmpegError as error:
            self.abandon()
            if self.others.outputs:
                reason = f"the file header cannot be written with it: {reason_of(error)}"
                raise StreamsFailed(self.others.outputs, reason) from error
            raise VideoError(
                f"{path} cannot be written with {encoding.encoder} ({error.strerror}): choose "
                "another --codec"
            ) from error
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
        return self.others.damage + self._damage

    def join(self, encoded: Iterable[av.Packet], others: Iterable[av.Packet]) -> None:
        """Write the packets of the video, in decoding order, interleaved with those of the source's
        other streams."""
        waiting = iter(encoded)
        ahead = next(waiting, None)
        for time, packet in self.others.select_packets(others):
            until = None if time is None else time * self.slow
            while ahead and until is not None and ahead.dts * self.encoding.time_base <= until:
                self._write_encoded(ahead)
                ahead = next(waiting, None)
            self._write_other(packet)
        for packet in waiting if ahead is None else chain([ahead], waiting):
            self._write_encoded(packet)

    def _write_other(self, packet: av.Packet) -> None:
        try:
            self.others.write(packet)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

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
        if self._encodes:
            self._mux(self.stream.encode(None))
        try:
            self.others.flush()
            if self._strict_source and self.damage:
                raise SourceError(
                    f"{self._strict_source} is damaged: {self.damage[0]}; without --strict the "
                    "damage is bridged"
                )
            self.container.close()
            if not self._encodes and self.container.format.name in ("mp4", "mov"):
                hide_apple_boxes(self.unfinished)
            self._write_sample_aspect_ratio()
            self.unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            if error.errno not in OUTPUT_ERRORS and self.others.outputs:
                reason = f"the file cannot be finished with it: {reason_of(error)}"
                raise StreamsFailed(self.others.suspects, reason) from error
            raise self._unwritable(error) from error

    def _write_sample_aspect_ratio(self) -> None:
        """Write the sample aspect ratio in containers that store it as a display size."""
        encoding = self.encoding
        aspect = encoding.sample_aspect_ratio
        if self.container.format.name not in IN_MILLISECONDS or aspect in (None, 0, 1):
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
        if not self._encodes:
            # the boxes of spherical videos are not part of the MP4 standard
            options["strict"] = "unofficial"
        try:
            self.unfinished.touch()
            return av.open(file_url(self.unfinished), "w", format=form, container_options=options)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _check_fits(self) -> None:
        name = av.Codec(self.encoding.encoder, "w").canonical_name
        supported = supported_codecs(self.container)
        if name not in supported:
            known = ", ".join(codec for codec in ENCODERS if codec in supported)
            raise VideoError(
                f"{self.path.suffix} files cannot hold {name}, only {known}: choose one with "
                "--codec, or name an "
                f"OUT of {CODEC_SUFFIXES.get(name, '.mkv')}"
            )

    def _write_others(self, reader: FrameSource) -> None:
        for source in reader.others:
            self.others.add(source, stream_metadata(source.metadata, self.path))
        self.converted = self.others.plan.converted
        self.dropped += self.others.plan.dropped
        chapters = reader.contents.chapters
        self.container.set_chapters(
            convert_chapters(chapters, reader.contents.shift, self.span, self.slow)
        )

    def _add_picture(self, template: Template | None) -> None:
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
        if self.encoding.encoder == "libx265":
            self.stream.codec_tag = HEVC_TAG

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            try:
                self.container.mux_one(packet)
            except (av.FFmpegError, OSError) as error:
                if error.errno in OUTPUT_ERRORS or not self.others.outputs:
                    raise self._unwritable(error) from error
                # muxers buffer packets for interleaving: it may be a packet of another stream
                self._damage.append(f"a packet cannot be written ({reason_of(error)})")

    def _unwritable(self, error: Exception) -> VideoError:
        place = getattr(error, "errno", None) in OUTPUT_ERRORS
        remedy = (
            "choose another place for OUT" if place else "choose another --codec, or an OUT of .mkv"
        )
        return VideoError(f"{self.path} cannot be written ({reason_of(error)}): {remedy}")
