"""Writing the streams other than the video."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

from midframe.media.reading.survey import Span
from midframe.media.reading.video_file import is_cover
from midframe.media.streams.output_streams import (
    OUTPUT_ERRORS,
    STREAM_ERRORS,
    CopiedStream,
    OutputStream,
    RisingTimes,
    TimeOutlierFilter,
    UnsupportedStream,
    reason_of,
    times_of,
)
from midframe.media.streams.sound import ConvertedSound
from midframe.media.streams.sound_format import decode_sound
from midframe.media.streams.stream_tags import TAGGED, StreamTags, tags_of
from midframe.media.streams.streams import StreamPlan, name_of

EQUAL_DTS = ("matroska", "webm")
"""Containers in which successive packets of a stream may have equal dts."""


class StreamsFailed(Exception):  # noqa: N818  # the result is written again without them
    """Streams other than the video that prevent the result from being written.

    Args:
        indices: of the streams in the source.
        reason: for the report.
    """

    def __init__(self, indices: Iterable[int], reason: str) -> None:
        super().__init__(reason)
        self.indices = tuple(indices)
        self.reason = reason


class StreamWriter:
    """Writes packets of the source, copied or converted as planned.

    Args:
        container: of the result.
        plan: what happens to each stream.
        slow: factor of slow motion.
        span: the part of the source to write, in seconds of the source; None for all.
        strict: decode copied sound too, to find all damage.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        plan: StreamPlan,
        slow: Fraction,
        span: Span | None,
        *,
        strict: bool = False,
    ) -> None:
        self.strict = strict
        self.container = container
        self.plan = plan
        self.slow = slow
        self.span = span
        self.outputs: dict[int, OutputStream] = {}
        """Streams of the result, by the stream's index in the source."""
        self.counts: dict[str, int] = {}
        """Number of streams of each type in the result, without the video."""
        self.tags: list[tuple[str, StreamTags]] = []
        """Name and tags of each source stream in `outputs` that is sound or text."""
        self._times: dict[int, RisingTimes] = {}
        self._written: dict[int, int] = {}
        """Number of written packets, by the stream's index in the source."""

    @property
    def damage(self) -> list[str]:
        """Return descriptions of lost packets, with their times."""
        return [text for each in self.outputs.values() for text in each.losses.texts()]

    @property
    def texts_shown(self) -> list[bool]:
        """Return for each subtitle stream of the result whether it is shown by default."""
        streams = [each.stream for each in self.outputs.values()]
        default = av.stream.Disposition.default
        return [bool(each.disposition & default) for each in streams if each.type == "subtitle"]

    @property
    def suspects(self) -> list[int]:
        """Return the streams that may have made the trailer fail: those without a packet, otherwise
        all."""
        return [index for index, count in self._written.items() if not count] or list(self.outputs)

    def add(self, source: Any, metadata: dict[str, str]) -> None:
        """Add a stream of the source to the result, if the plan has a choice for it.

        Raises:
            StreamsFailed: it cannot be added although its trial was successful.
        """
        choice = self.plan.choices.get(source.index)
        if choice is None or choice.add is None:
            return
        try:
            output = choice.add(self.container, source, self.slow)
        except (UnsupportedStream, *STREAM_ERRORS) as error:
            raise StreamsFailed([source.index], reason_of(error)) from error
        if choice.as_stream:
            self.counts[source.type] = self.counts.get(source.type, 0) + 1
        if output is None:
            return
        self.outputs[source.index] = output
        self._written[source.index] = 0
        self._times[source.index] = RisingTimes(equal=self.container.format.name in EQUAL_DTS)
        output.stream.metadata.update(metadata)
        output.stream.disposition = source.disposition
        if source.type in TAGGED:
            self.tags.append((name_of(source), tags_of(source)))
        if self.span:
            output.losses.offset = self.span.begin
            if isinstance(output, ConvertedSound):
                output.length = self.span.end - self.span.begin

    def select_packets(
        self, packets: Iterable[av.Packet]
    ) -> Iterator[tuple[Fraction | None, av.Packet]]:
        """Yield the packets in the span of streams that the result has, with their times in seconds
        of the source.

        Single damaged times of audio packets are corrected.
        """
        for packet in self._correct_times(packets):
            begin = times_of(packet)[0]
            kept = packet if is_cover(packet.stream) else self._within_span(packet)
            if kept is not None:
                yield begin, kept

    def write(self, packet: av.Packet) -> None:
        """Write a packet, copied or converted."""
        begin, end = times_of(packet)
        index = packet.stream.index
        if self.strict and isinstance(self.outputs[index], CopiedStream):
            self._check_sound(packet)
        try:
            packets = list(self.outputs[index].packets(packet))
        except STREAM_ERRORS as error:
            self.outputs[index].losses.note(
                f"a packet cannot be copied or converted ({reason_of(error)})", begin, end
            )
            return
        self._mux(index, packets, begin)

    def _check_sound(self, packet: av.Packet) -> None:
        """Note a copied audio packet that cannot be decoded."""
        if packet.stream.type != "audio" or packet.is_corrupt or not packet.size:
            return
        try:
            decode_sound(packet.stream.codec_context, packet)
        except STREAM_ERRORS:
            losses = self.outputs[packet.stream.index].losses
            losses.note("a packet cannot be decoded", *times_of(packet))

    def flush(self) -> None:
        """Write the remaining packets of all streams."""
        for index, output in self.outputs.items():
            try:
                self._mux(index, output.flush(), None)
            except STREAM_ERRORS as error:  # earlier packets were written
                if getattr(error, "errno", None) in OUTPUT_ERRORS:
                    raise

    def _correct_times(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        sounds: dict[int, TimeOutlierFilter] = {}
        for packet in packets:
            index = packet.stream.index
            if index not in self.outputs:
                continue
            if packet.stream.type != "audio":
                yield packet
                continue
            if index not in sounds:
                sounds[index] = TimeOutlierFilter(self.outputs[index].losses)
            yield from sounds[index].feed(packet)
        for sound in sounds.values():
            yield from sound.flush()

    def _within_span(self, packet: av.Packet) -> av.Packet | None:
        """Return the packet with times relative to the span, or None if it is outside."""
        if packet.pts is None:
            packet.pts = packet.dts
        if self.span is None or packet.pts is None:
            return packet
        begin = round(self.span.begin / packet.time_base)
        end = round(self.span.end / packet.time_base)
        output = self.outputs[packet.stream.index]
        duration = packet.duration or 0
        preroll = round(output.preroll / packet.time_base)
        if packet.pts >= end or packet.pts + duration + preroll <= begin:
            return None
        if isinstance(output, ConvertedSound):  # it cuts at a sample itself
            packet.pts -= begin
            packet.dts = None
            return packet
        if packet.pts < begin and packet.stream.type != "subtitle":
            return None
        late = max(0, begin - packet.pts)  # of a subtitle that begins before the span
        packet.pts += late - begin
        packet.duration = duration - late
        packet.dts = packet.pts if late or packet.dts is None else packet.dts - begin
        if packet.stream.type == "subtitle":
            packet.duration = min(packet.duration, end - begin - packet.pts)
        return packet

    def _mux(self, index: int, packets: Iterable[av.Packet], begin: Fraction | None) -> None:
        """Write packets of a stream; one that the container refuses is dropped and reported."""
        output = self.outputs[index]
        for packet in packets:
            if not self._is_storable(packet):
                continue
            try:
                self.container.mux_one(self._times[index].fix(packet, output.stream))
                self._written[index] += 1
            except STREAM_ERRORS as error:
                if getattr(error, "errno", None) in OUTPUT_ERRORS:
                    raise
                output.losses.note(f"a packet cannot be written ({reason_of(error)})", begin)

    def _is_storable(self, packet: av.Packet) -> bool:
        """Return whether the container supports the time of a packet: AVI begins at 0, and other
        containers store the priming packets of audio before 0."""
        return self.container.format.name != "avi" or packet.pts is None or packet.pts >= 0
