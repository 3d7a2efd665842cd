"""Writing a video: frames encoded with exact times, packets of other streams as they came."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, EPERM, EROFS
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from midframe.errors import VideoError
from midframe.images import Array
from midframe.video.carriers import CannotCarry, Carrier, OneWildTime, RisingTimes, times_of
from midframe.video.colour import Colour, has_alpha
from midframe.video.encoders import APPLE_TAG, Encoding
from midframe.video.reader import VideoReader, is_cover
from midframe.video.rehearsal import FAULTS, make_plan
from midframe.video.sound import ConvertedSound
from midframe.video.streams import Plan

CONTAINERS = (".mp4", ".mkv", ".mov", ".webm")
OTHER_LANGUAGE_CODES = {
    "ces": "cze", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per", "hye": "arm", "isl": "ice",
    "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "ron": "rum", "slk": "slo", "sqi": "alb",
    "zho": "chi",
}  # fmt: skip
"""ISO 639-2 has two codes of some languages; QuickTime files take the one that libraries use."""
OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode")
"""Metadata that describes the source's file, not the film; a time code is carried on its own."""
PLACE_FAULTS = {ENOSPC, EDQUOT, EFBIG, EACCES, EPERM, EROFS, EIO, ENOENT}
"""Errors of the place that is written to; all others are of what is written."""
EQUAL_DTS = ("matroska", "webm")
"""Containers in which two packets of a stream may have one dts."""
LATEST_CHAPTER = 10**9
"""Seconds; a chapter that states a later time is damaged."""


class StreamsFailed(Exception):  # noqa: N818  # the result is written again without them
    """Streams beside the picture that keep the result from being written.

    Args:
        indices: of the streams in the source.
        reason: for the report.
    """

    def __init__(self, indices: Iterable[int], reason: str) -> None:
        super().__init__(reason)
        self.indices, self.reason = tuple(indices), reason


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
        plan: what becomes of each of them; found by trial if None.
        span: what part of the source is shown, in seconds of its own time; None for all.
        matrix: display matrix of the picture, 9 integers; None if it is upright.
        unfinished: where the file is until it is whole; beside its final name if None.

    Raises:
        StreamsFailed: streams beside the picture keep the file from being begun.
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
        plan: Plan | None = None,
        span: Span | None = None,
        matrix: Sequence[int] | None = None,
        unfinished: Path | None = None,
    ) -> None:
        self.path = path
        self.unfinished = unfinished or path.with_name(f".{path.stem}.part{path.suffix}")
        self.colour, self.encoding, self.span, self.slow = colour, encoding, span, slow
        self.shift = reader.survey.shift
        self.carriers: dict[int, Carrier] = {}
        """How packets of other streams get into the result, by the stream's index in the source."""
        self.converted: list[str] = []
        """Streams that are not passed on as they are, and what becomes of them."""
        self.left_out: list[str] = []
        """Streams that the result does not have, and why."""
        self.carried: dict[str, int] = {}
        """How many streams of each kind it has beside the picture."""
        self.plan = plan or Plan()
        self._times: dict[int, RisingTimes] = {}
        self._written: dict[int, int] = {}
        """How many packets of each carried stream the result has got."""
        self._damage: list[str] = []
        self.container = self._open()
        try:
            self._check_fits()
            self.stream = self.container.add_stream(encoding.encoder, encoding.rate, options=dict(encoding.options))
            self._describe()
            if colour.alpha and not has_alpha(av.VideoFormat(encoding.pixel_format)):
                self.left_out.append(f"alpha ({encoding.pixel_format} has none: prores, vp9 and ffv1 can keep it)")
            self.stream.metadata.update(_worth_keeping(reader.stream, path))
            self.stream.disposition = reader.stream.disposition
            if matrix:
                self.stream.set_display_matrix(matrix)
            self.container.metadata.update(
                {key: value for key, value in reader.container.metadata.items() if key.lower() not in OF_THE_FILE}
            )
            if self.plan.time_code:
                self.stream.metadata["timecode"] = self.plan.time_code
            if others:
                if plan is None:
                    self.plan = make_plan(
                        reader.path, reader.others, path, slow, mute=mute, scratch=self.unfinished.parent
                    )
                self._carry_others(reader)
            self.container.start_encoding()
        except av.FFmpegError as error:
            self.abandon()
            if self.carriers:
                reason = f"the file cannot be begun with it: {_text(error)}"
                raise StreamsFailed(self.carriers, reason) from error
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

    def converted_sounds(self) -> dict[int, Span]:
        """When each converted sound was heard, in seconds of the source, by the index of its stream."""
        offset = self.span.begin if self.span else Fraction(0)
        sounds = {index: each for index, each in self.carriers.items() if isinstance(each, ConvertedSound)}
        return {
            index: Span(each.begin + offset, each.end + offset)
            for index, each in sounds.items()
            if each.begin is not None and each.end is not None
        }

    @property
    def damage(self) -> list[str]:
        """What was lost of the streams beside the picture, with its times."""
        return [text for each in self.carriers.values() for text in each.losses.texts()] + self._damage

    def join(self, encoded: Iterable[av.Packet], others: Iterable[av.Packet]) -> None:
        """Write packets of the picture, in order, and among them those of the source's other streams."""
        waiting = iter(encoded)
        ahead = next(waiting, None)
        for packet in self._in_place(others):
            kept = packet if is_cover(packet.stream) else self._within_span(packet)
            if kept is None:
                continue
            moment = times_of(packet)[0]
            until = None if moment is None else moment * self.slow
            while ahead and until is not None and ahead.dts * self.encoding.time_base <= until:
                self._write_encoded(ahead)
                ahead = next(waiting, None)
            self._write_other(kept)
        for packet in waiting if ahead is None else chain([ahead], waiting):
            self._write_encoded(packet)

    def _in_place(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Packets of carried streams; sound packets of a single damaged time are put where they belong."""
        sounds: dict[int, OneWildTime] = {}
        for packet in packets:
            index = packet.stream.index
            if index not in self.carriers:
                continue
            if packet.stream.type != "audio":
                yield packet
                continue
            if index not in sounds:
                sounds[index] = OneWildTime(self.carriers[index].losses)
            yield from sounds[index].feed(packet)
        for sound in sounds.values():
            yield from sound.rest()

    def _write_encoded(self, packet: av.Packet) -> None:
        packet.stream, packet.time_base = self.stream, self.encoding.time_base
        self._mux([packet])

    def _within_span(self, packet: av.Packet) -> av.Packet | None:
        """The packet in the time of the span, or None if it lies outside of it."""
        if self.span is None or packet.pts is None:
            return packet
        begin, end = (round(edge / packet.time_base) for edge in (self.span.begin, self.span.end))
        early = round(self.carriers[packet.stream.index].preroll / packet.time_base)
        if packet.pts >= end or packet.pts + (packet.duration or 0) + early <= begin:
            return None
        carrier = self.carriers[packet.stream.index]
        if isinstance(carrier, ConvertedSound):  # which cuts between two samples
            packet.pts, packet.dts = packet.pts - begin, None
            return packet
        if packet.pts < begin and packet.stream.type != "subtitle":
            return None
        late = max(0, begin - packet.pts)  # a text that was there before
        packet.pts, packet.duration = packet.pts + late - begin, packet.duration - late
        packet.dts = packet.pts if late or packet.dts is None else packet.dts - begin
        if packet.stream.type == "subtitle":
            packet.duration = min(packet.duration, end - begin - packet.pts)
        return packet

    def _write_other(self, packet: av.Packet) -> None:
        """Carry a packet of another stream over."""
        begin, end = times_of(packet)
        index = packet.stream.index
        try:
            made = list(self.carriers[index].packets(packet))
        except FAULTS as error:
            self.carriers[index].losses.note(f"a packet cannot be carried over ({_text(error)})", begin, end)
            return
        self._mux_others(index, made, begin)

    def _mux_others(self, index: int, packets: Iterable[av.Packet], begin: Fraction | None) -> None:
        """Write packets of a carried stream; one that the container refuses is dropped and reported."""
        carrier = self.carriers[index]
        for packet in packets:
            try:
                self.container.mux_one(self._times[index].mend(packet, carrier.stream))
                self._written[index] += 1
            except FAULTS as error:
                if getattr(error, "errno", None) in PLACE_FAULTS:
                    raise self._unwritable(error) from error
                carrier.losses.note(f"a packet cannot be written ({_text(error)})", begin)

    def finish(self) -> None:
        """Encode what is left and give the file its name.

        Raises:
            StreamsFailed: streams beside the picture keep the container from being finished.
            VideoError: the place cannot be written to.
        """
        self._mux(self.stream.encode(None))
        for index, carrier in self.carriers.items():
            with suppress(*FAULTS):  # of a decoder or encoder; what came before is there
                self._mux_others(index, carrier.rest(), None)
        try:
            self.container.close()
            self.unfinished.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            if error.errno not in PLACE_FAULTS and self.carriers:
                empty = [index for index, count in self._written.items() if not count]
                raise StreamsFailed(
                    empty or self.carriers, f"the file cannot be finished with it: {_text(error)}"
                ) from error
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

    def _carry_others(self, reader: VideoReader) -> None:
        for source in reader.others:
            choice = self.plan.choices.get(source.index)
            if choice is None or choice.add is None:
                continue
            try:
                carrier = choice.add(self.container, source, self.slow)
            except (CannotCarry, *FAULTS) as error:
                raise StreamsFailed([source.index], _text(error)) from error
            if choice.shown:
                self.carried[source.type] = self.carried.get(source.type, 0) + 1
            if carrier:
                self._prepare(carrier, source)
        self.converted, self.left_out = self.plan.converted, self.left_out + self.plan.left_out
        chapters = [self._chapter(each) for each in reader.container.chapters()]
        self.container.set_chapters([each for each in chapters if each["start"] < each["end"]])

    def _prepare(self, carrier: Carrier, source: Any) -> None:
        self.carriers[source.index], self._written[source.index] = carrier, 0
        self._times[source.index] = RisingTimes(equal=self.container.format.name in EQUAL_DTS)
        carrier.stream.metadata.update(_worth_keeping(source, self.path))
        carrier.stream.disposition = source.disposition
        if self.span:
            carrier.losses.offset = self.span.begin
            if isinstance(carrier, ConvertedSound):
                carrier.length = self.span.end - self.span.begin

    def _chapter(self, chapter: Any) -> Any:
        """A chapter in the time of the result; what lies outside of the span ends before it begins."""
        stated = (chapter[edge] * chapter["time_base"] + self.shift for edge in ("start", "end"))
        edges = [min(max(Fraction(0), edge), Fraction(LATEST_CHAPTER)) for edge in stated]
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
        for packet in packets:
            try:
                self.container.mux_one(packet)
            except (av.FFmpegError, OSError) as error:
                if error.errno in PLACE_FAULTS or not self.carriers:
                    raise self._unwritable(error) from error
                # Muxers interleave: what they refuse now may be a packet of another stream.
                self._damage.append(f"a packet cannot be written ({_text(error)})")

    def _unwritable(self, error: Exception) -> VideoError:
        place = getattr(error, "errno", None) in PLACE_FAULTS
        remedy = "choose another place for OUT" if place else "choose another --codec, or an OUT of .mkv"
        return VideoError(f"{self.path} cannot be written ({_text(error)}): {remedy}")


def _text(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _worth_keeping(stream: Any, path: Path) -> dict[str, str]:
    kept = {key: value for key, value in stream.metadata.items() if key in ("language", "title")}
    if path.suffix.lower() == ".mov" and "language" in kept:
        kept["language"] = OTHER_LANGUAGE_CODES.get(kept["language"], kept["language"])
    return kept
