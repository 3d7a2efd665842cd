"""Writing a video: frames encoded with exact times, packets of other streams as they came."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSPC
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.images import Array
from midframe.video.colour import Colour, has_alpha
from midframe.video.encoders import APPLE_TAG, Encoding
from midframe.video.opacity import lost_alpha
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


@dataclass(frozen=True)
class Span:
    """A part of a source, in seconds of its own time."""

    begin: Fraction
    end: Fraction


class VideoWriter:
    """A video being written beside its final name, which it takes at the end of a `with` block that does not fail.

    Frames are encoded one after another (`write_frame`), or packets that another encoder made come with those of the
    source's other streams (`join`).

    Args:
        path: the final name; its ending chooses the container.
        reader: the source, whose metadata, rotation and other streams are carried over.
        picture: a frame of the source.
        colour: how its samples stand for colours.
        encoding: of the frames.
        slow: how many times longer than the source the result is.
        mute: leave sound out.
        others: carry the source's other streams and chapters over, as far as the container holds them.
        span: what part of the source is shown, in seconds of its own time; None for all.
        unfinished: where the file is until it is whole; beside its final name if None.

    Raises:
        VideoError: no such container, the container cannot hold the codec, or the place cannot be written to.
    """

    def __init__(
        self,
        path: Path,
        reader: VideoReader,
        picture: av.VideoFrame,
        colour: Colour,
        encoding: Encoding,
        *,
        slow: Fraction = Fraction(1),
        mute: bool = False,
        others: bool = True,
        span: Span | None = None,
        unfinished: Path | None = None,
    ) -> None:
        self.path = path
        self.unfinished = unfinished or path.with_name(f".{path.stem}.part{path.suffix}")
        self.colour, self.encoding, self.span, self.slow = colour, encoding, span, slow
        self.carriers: dict[int, Carrier] = {}
        """How packets of other streams get into the result, by the stream's index in the source."""
        self.converted: list[str] = []
        """Streams that are not passed on as they are, and what becomes of them."""
        self.left_out: list[str] = []
        """Streams that the result does not have, and why."""
        self.carried: dict[str, int] = {}
        """How many streams of each kind it has beside the picture."""
        self.sound_end: Fraction | None = None
        """When the source's sound ends, as far as it came, in seconds of the source."""
        self.container = self._open()
        try:
            self._check_fits()
            self.stream = self.container.add_stream(encoding.encoder, encoding.rate, options=dict(encoding.options))
            self._describe()
            if colour.alpha and not has_alpha(av.VideoFormat(encoding.pixel_format)) and (lost := lost_alpha(reader)):
                self.left_out.append(f"{lost} ({encoding.pixel_format} has none: prores, vp9 and ffv1 can keep it)")
            self.stream.metadata.update(_worth_keeping(reader.stream, path))
            self.stream.disposition = reader.stream.disposition
            if picture.rotation and hasattr(self.stream, "set_display_rotation"):
                self.stream.set_display_rotation(picture.rotation)
            self.container.metadata.update(
                {key: value for key, value in reader.container.metadata.items() if key not in OF_THE_FILE}
            )
            if others:
                self._carry_others(reader, mute)
            self.container.start_encoding()
        except av.FFmpegError as error:
            self.abandon()
            raise VideoError(
                f"{path} cannot be written with {encoding.encoder} ({error.strerror}): choose another --codec"
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

    def write_frame(self, picture: av.VideoFrame | Array, pts: int) -> None:
        """Encode a picture to be shown at a time in the encoding's time base."""
        self._mux(self.stream.encode(self.encoding.frame(picture, self.colour, pts)))

    def join(self, encoded: Iterable[av.Packet], others: Iterable[av.Packet]) -> None:
        """Write packets of the picture, in order, and among them those of the source's other streams."""
        waiting = iter(encoded)
        ahead = next(waiting, None)
        for packet in others:
            kept = packet if is_cover(packet.stream) else self._within_span(packet)
            if kept is None:
                continue
            moment = packet.dts if packet.pts is None else packet.pts
            until = None if moment is None else moment * packet.time_base * self.slow
            while ahead and until is not None and ahead.dts * self.encoding.time_base <= until:
                self._write_encoded(ahead)
                ahead = next(waiting, None)
            self._write_other(kept)
        for packet in waiting if ahead is None else chain([ahead], waiting):
            self._write_encoded(packet)

    def _write_encoded(self, packet: av.Packet) -> None:
        packet.stream, packet.time_base = self.stream, self.encoding.time_base
        self._mux([packet])

    def _within_span(self, packet: av.Packet) -> av.Packet | None:
        """The packet in the time of the span, or None if it lies outside of it."""
        if self.span is None or packet.pts is None:
            return packet
        begin, end = (round(edge / packet.time_base) for edge in (self.span.begin, self.span.end))
        if packet.pts >= end or packet.pts + (packet.duration or 0) <= begin:
            return None
        if packet.pts < begin and packet.stream.type != "subtitle":
            return None
        late = max(0, begin - packet.pts)  # a text that was there before
        packet.pts, packet.duration = packet.pts + late - begin, packet.duration - late
        packet.dts = packet.pts if late or packet.dts is None else packet.dts - begin
        return packet

    def _write_other(self, packet: av.Packet) -> None:
        """Carry a packet of another stream over."""
        if packet.stream.type == "audio" and packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self.sound_end = end if self.sound_end is None else max(end, self.sound_end)
        kind, index = packet.stream.type, packet.stream.index
        try:
            carried = list(self.carriers[index].packets(packet))
            self.container.mux(carried)
        except av.FFmpegError as error:
            if error.errno == ENOSPC:
                raise self._unwritable(error) from error
            raise VideoError(
                f"{kind} stream {index} cannot be carried over ({error.strerror}), it may be damaged: try an OUT of "
                ".mkv, or --mute"
            ) from error

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

    def _check_fits(self) -> None:
        name = av.Codec(self.encoding.encoder, "w").canonical_name
        if name not in self.container.supported_codecs:
            raise VideoError(f"{self.path.suffix} files cannot hold {name}: give an OUT that ends in .mkv")

    def _carry_others(self, reader: VideoReader, mute: bool) -> None:
        for source in reader.others:
            name = f"{source.type} stream {source.index}"
            try:
                carrier, note = carrier_for(source, self.container, self.slow, mute=mute)
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
        chapters = [self._chapter(each) for each in reader.container.chapters()]
        self.container.set_chapters([each for each in chapters if each["start"] < each["end"]])

    def _chapter(self, chapter: Any) -> Any:
        """A chapter in the time of the result; what lies outside of the span ends before it begins."""
        edges = [chapter[edge] * chapter["time_base"] for edge in ("start", "end")]
        if self.span:
            edges = [min(max(edge, self.span.begin), self.span.end) - self.span.begin for edge in edges]
        start, end = (round(edge * self.slow / chapter["time_base"]) for edge in edges)
        return chapter | {"start": start, "end": end}

    def _describe(self) -> None:
        self.encoding.configure(self.stream.codec_context)
        self.stream.time_base = self.encoding.time_base
        if self.encoding.encoder == "libx265":
            self.stream.codec_tag = APPLE_TAG

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
