"""Writing a video: frames encoded with exact times, packets of other streams as they came."""

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.video.colour import Colour, in_format
from midframe.video.encoders import DEFAULT_CODEC, DEFAULT_CRF, choose_pixel_format, find_encoder, quality_options
from midframe.video.hdr import mastering_of, mastering_options
from midframe.video.reader import VideoReader, is_cover
from midframe.video.streams import CannotCarry, Carrier, carrier_for

CONTAINERS = (".mp4", ".mkv", ".mov", ".webm")
OTHER_LANGUAGE_CODES = {
    "ces": "cze", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "hye": "arm", "isl": "ice",
    "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "ron": "rum", "slk": "slo", "sqi": "alb",
    "zho": "chi",
}  # fmt: skip
"""ISO 639-2 has two codes of some languages; QuickTime files take the one that libraries use."""
OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")
"""Metadata that describes the source's file, not the film."""


class VideoWriter:
    """A video being written beside its final name, which it takes at the end of a `with` block that does not fail.

    Args:
        path: the final name; its ending chooses the container.
        reader: the source, whose metadata, rotation and pixel shape are carried over.
        picture: a frame of the source.
        colour: how its samples stand for colours.
        time_base: of the frames to come.
        rate: their average rate.
        slow: how many times longer than the source the result is.
        mute: leave sound out.
        others: carry the source's other streams and chapters over, as far as the container holds them.
        codec: a name in `ENCODERS`, or an encoder of FFmpeg.
        crf: constant quality; smaller is better and larger.
        preset: how much work the encoder does, by its own names.
        encoder_options: more of its options, by FFmpeg's names.

    Raises:
        VideoError: no such codec or container, or the place cannot be written to.
    """

    def __init__(
        self,
        path: Path,
        reader: VideoReader,
        picture: av.VideoFrame,
        colour: Colour,
        *,
        time_base: Fraction,
        rate: Fraction,
        slow: Fraction = Fraction(1),
        mute: bool = False,
        others: bool = True,
        codec: str = DEFAULT_CODEC,
        crf: int = DEFAULT_CRF,
        preset: str | None = None,
        encoder_options: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.unfinished = path.with_name(f".{path.stem}.part{path.suffix}")
        self.colour = colour
        self.carriers: dict[int, Carrier] = {}
        """How packets of other streams get into the result, by the stream's index in the source."""
        self.converted: list[str] = []
        """Streams that are not passed on as they are, and what becomes of them."""
        self.left_out: list[str] = []
        """Streams that the result does not have, and why."""
        self.carried: dict[str, int] = {}
        """How many streams of each kind it has beside the picture."""
        self.sound_end: Fraction | None = None
        """When the source's sound ends, as far as it came, in seconds."""
        encoder = find_encoder(codec)
        self.container = self._open()
        try:
            self._check_fits(encoder)
            quality = quality_options(encoder.name, crf, preset)
            quality |= mastering_options(encoder.name, mastering_of(picture))
            quality |= encoder_options or {}
            self.stream = self.container.add_stream(encoder.name, rate, options=quality)
            self._describe(encoder, picture, time_base)
            self.stream.metadata.update(_worth_keeping(reader.stream, path))
            self.stream.disposition = reader.stream.disposition
            _carry_shape(reader.stream, self.stream, picture)
            self.container.metadata.update(
                {key: value for key, value in reader.container.metadata.items() if key not in OF_THE_FILE}
            )
            if others:
                self._carry_others(reader, slow, mute)
            self.container.start_encoding()
        except av.FFmpegError as error:
            self.abandon()
            raise VideoError(
                f"{path} cannot be written with {codec} ({error.strerror}): choose another --codec"
            ) from error
        except BaseException:
            self.abandon()
            raise

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return self.abandon()
        try:
            self.finish()
        except BaseException:
            self.abandon()
            raise

    def write_frame(self, picture: av.VideoFrame, pts: int) -> None:
        """Encode a picture to be shown at a time in the writer's time base."""
        converted = in_format(picture, self.colour, self.pixel_format)
        converted.pts, converted.time_base = pts, self.time_base
        converted.pict_type = 0  # the encoder chooses its own key frames
        self._mux(self.stream.encode(converted))

    def write_packet(self, packet: av.Packet) -> None:
        """Carry a packet of another stream over."""
        if packet.stream.type == "audio" and packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self.sound_end = end if self.sound_end is None else max(end, self.sound_end)
        kind, index = packet.stream.type, packet.stream.index
        try:
            carried = list(self.carriers[index].packets(packet))
        except av.FFmpegError as error:
            raise VideoError(
                f"{kind} stream {index} cannot be converted ({error.strerror}): try an OUT of .mkv, or --mute"
            ) from error
        self._mux(carried)

    def finish(self) -> None:
        """Encode what is left and give the file its name."""
        self._mux(self.stream.encode(None))
        for carrier in self.carriers.values():
            self._mux(list(carrier.rest()))
        try:
            self.container.close()
            self.unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def abandon(self) -> None:
        """Leave nothing behind."""
        with suppress(av.FFmpegError, OSError):  # the file is deleted whatever state it is in
            self.container.close()
        self.unfinished.unlink(missing_ok=True)

    def _open(self) -> av.container.OutputContainer:
        if self.path.suffix.lower() not in CONTAINERS:
            raise VideoError(f"{self.path}: choose a name that ends in one of {' '.join(CONTAINERS)}")
        options = {"movflags": "+faststart"} if self.path.suffix.lower() in (".mp4", ".mov") else {}
        try:
            self.unfinished.touch()
            return av.open(str(self.unfinished), "w", container_options=options)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _check_fits(self, encoder: av.Codec) -> None:
        if encoder.canonical_name not in self.container.supported_codecs:
            name = encoder.canonical_name
            raise VideoError(f"{self.path.suffix} files cannot hold {name}: give an OUT that ends in .mkv")

    def _carry_others(self, reader: VideoReader, slow: Fraction, mute: bool) -> None:
        for source in reader.others:
            name = f"{source.type} stream {source.index}"
            try:
                carrier, note = carrier_for(source, self.container, slow, mute=mute)
            except CannotCarry as reason:
                self.left_out.append(f"{name} ({reason})")
                continue
            if note:
                self.converted.append(f"{name} ({note})")
            if carrier or is_cover(source):
                self.carried[source.type] = self.carried.get(source.type, 0) + 1
            if carrier:
                self.carriers[source.index] = carrier
                carrier.stream.metadata.update(_worth_keeping(source, self.path))
                carrier.stream.disposition = source.disposition
        self.container.set_chapters([_slowed(chapter, slow) for chapter in reader.container.chapters()])

    def _describe(self, encoder: av.Codec, picture: av.VideoFrame, time_base: Fraction) -> None:
        stream = self.stream
        self.pixel_format = choose_pixel_format(encoder, picture, self.colour.deep)
        self.time_base = time_base
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, self.pixel_format
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.colorspace = self.colour.matrix
        stream.codec_context.color_range = self.colour.range
        stream.codec_context.color_primaries = picture.color_primaries
        stream.codec_context.color_trc = picture.color_trc
        if encoder.name == "libx265":
            stream.codec_tag = "hvc1"  # what players of Apple want in MP4

    def _mux(self, packets: list[av.Packet]) -> None:
        try:
            self.container.mux(packets)
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> VideoError:
        reason = getattr(error, "strerror", None) or error
        return VideoError(f"{self.path} cannot be written ({reason}): choose another place for OUT")


def _worth_keeping(stream: Any, path: Path) -> dict[str, str]:
    kept = {key: value for key, value in stream.metadata.items() if key in ("language", "title")}
    if path.suffix.lower() == ".mov" and "language" in kept:
        kept["language"] = OTHER_LANGUAGE_CODES.get(kept["language"], kept["language"])
    return kept


def _slowed(chapter: Any, slow: Fraction) -> Any:
    return chapter | {edge: round(chapter[edge] * slow) for edge in ("start", "end")}


def _carry_shape(source: Any, result: Any, picture: av.VideoFrame) -> None:
    """Carry over the shape of pixels and the turn of the picture."""
    if source.sample_aspect_ratio:
        result.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
    if picture.rotation and hasattr(result, "set_display_rotation"):
        result.set_display_rotation(picture.rotation)
