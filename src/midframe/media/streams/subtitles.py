"""Conversion of subtitles to another text format."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
from av.subtitles.subtitle import SubtitleSet

from midframe.media.streams.output_streams import Losses, UnsupportedStream, times_of

TEXT_ENCODERS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
MILLISECOND = Fraction(1, 1000)
UNKNOWN_SECONDS = 4
"""Maximum duration in seconds of a subtitle without an end; the next one ends it."""
DELAYED = ("eia_608",)
"""Decoders that output a subtitle when the next one begins, with its own times."""
NO_PTS = -(2**63)
"""FFmpeg's value for a missing timestamp (AV_NOPTS_VALUE)."""
ONE_AT_A_TIME = ("mp4", "mov")
"""Containers that show one text of a stream at a time; FFmpeg delays those that overlap."""
ASS_FIELDS = 8
"""Number of commas before the text of an ASS event in the output of FFmpeg's decoders."""
ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""Header with styles for FFmpeg's subtitle encoders, as its decoders output it."""


@dataclass(frozen=True)
class Event:
    """A subtitle and its times, in seconds of the source."""

    ass: bytes
    begin: Fraction
    duration: Fraction | None
    """None if it is not stated."""

    @property
    def end(self) -> Fraction:
        assert self.duration is not None
        return self.begin + self.duration


class Overlaps:
    """Converts events that overlap to events one after another, each with all texts of its time."""

    def __init__(self) -> None:
        self._shown: list[Event] = []
        self._begin = Fraction(0)
        """Time up to which events were yielded, in seconds."""

    def add(self, event: Event) -> Iterator[Event]:
        """Add the next event in the order of begins; yield the events before its begin."""
        yield from self.until(event.begin)
        self._begin = max(self._begin, event.begin)
        self._shown.append(event)

    def until(self, time: Fraction | None) -> Iterator[Event]:
        """Yield the events before a time in seconds; all that remain if it is None."""
        while self._shown and (time is None or self._begin < time):
            end = min(each.end for each in self._shown)
            end = end if time is None else min(end, time)
            if end > self._begin:
                texts = _join_texts([each.ass for each in self._shown])
                yield Event(texts, self._begin, end - self._begin)
                self._begin = end
            self._shown = [each for each in self._shown if each.end > self._begin]


def _join_texts(events: Sequence[bytes]) -> bytes:
    """Join the texts of ASS events in the fields of the first."""
    others = (event.split(b",", ASS_FIELDS)[-1] for event in events[1:])
    return b"\\N".join([events[0], *others])


class ConvertedText:
    """An `OutputStream` that decodes subtitles and encodes them in the container's text format."""

    preroll = Fraction(0)

    def __init__(
        self, source: Any, container: av.container.OutputContainer, slow: Fraction, losses: Losses
    ) -> None:
        if not source.codec_context.codec.text_sub:
            raise UnsupportedStream(
                f"{container.format.name} files cannot hold it, and bitmap subtitles cannot "
                "become text"
            )
        self.stream: Any = container.add_stream(TEXT_ENCODERS[container.format.name])
        self.source = source
        self.slow = slow
        self.losses = losses
        self.stream.codec_context.subtitle_header = (
            source.codec_context.subtitle_header or ASS_HEADER
        )
        self.stream.time_base = self.stream.codec_context.time_base = MILLISECOND
        self._delayed = source.codec_context.codec.canonical_name in DELAYED
        self._overlaps = Overlaps() if container.format.name in ONE_AT_A_TIME else None
        self._open_end: Event | None = None
        """The last event, if it has no end."""

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield the converted subtitle, preceded by an earlier one without an end."""
        begin = times_of(packet)[0]
        if begin is None:
            return
        try:
            event = self._event(packet, begin)
        except (av.FFmpegError, ValueError):
            self.losses.note("a subtitle that cannot be decoded is dropped", begin)
            return
        yield from self._end_open_event(begin)
        if event and event.duration is None:
            self._open_end = event
        elif event:
            yield from self._show(event)

    def flush(self) -> Iterator[av.Packet]:
        """Yield the last subtitles that are not written yet."""
        yield from self._end_open_event(None)
        with suppress(av.FFmpegError, ValueError):
            event = self._event(av.Packet(), Fraction(0)) if self._delayed else None
            if event:
                longest = Fraction(UNKNOWN_SECONDS)
                shown = min(event.duration or longest, longest)
                yield from self._show(replace(event, duration=shown))
        for last in self._overlaps.until(None) if self._overlaps else ():
            yield from self._encode(last)

    def _event(self, packet: av.Packet, begin: Fraction) -> Event | None:
        """Decode a packet and join its texts, because MP4 shows one at a time; return None if there
        is none."""
        decoded = self.source.codec_context.decode2(packet)
        lines = [line.ass for line in decoded or () if getattr(line, "ass", b"")]
        if not lines or not any(line.split(b",", ASS_FIELDS)[-1].strip() for line in lines):
            return None
        ass = _join_texts(lines)
        shown = (
            packet.duration * packet.time_base if packet.duration and packet.duration > 0 else None
        )
        if self._delayed and decoded.pts not in (None, NO_PTS):
            begin, shown = Fraction(decoded.pts, av.time_base), None
        if shown is None and 0 < decoded.end_display_time < 2**32 - 1:
            shown = (decoded.end_display_time - decoded.start_display_time) * MILLISECOND
        return Event(ass, begin, shown if shown and shown > 0 else None)

    def _end_open_event(self, begin: Fraction | None) -> Iterator[av.Packet]:
        event = self._open_end
        self._open_end = None
        if event is None:
            return
        longest = Fraction(UNKNOWN_SECONDS)
        shown = longest if begin is None else min(longest, begin - event.begin)
        if shown > 0:
            yield from self._show(replace(event, duration=shown))

    def _show(self, event: Event) -> Iterator[av.Packet]:
        """Yield the packets of an event with a duration, or of the events that it completes."""
        for each in self._overlaps.add(event) if self._overlaps else (event,):
            yield from self._encode(each)

    def _encode(self, event: Event) -> Iterator[av.Packet]:
        assert event.duration is not None
        begin = self._to_milliseconds(event.begin)
        end = self._to_milliseconds(event.begin + event.duration)
        if end <= begin or end >= 2**31:
            return
        try:
            packet = self.stream.codec_context.encode_subtitle(
                SubtitleSet.create(event.ass, 0, end - begin, begin * 1000)
            )
        except av.FFmpegError:
            self.losses.note("a subtitle that cannot be encoded is dropped", event.begin)
            return
        packet.stream = self.stream
        packet.time_base = MILLISECOND
        packet.pts = packet.dts = begin
        packet.duration = end - begin
        yield packet

    def _to_milliseconds(self, time: Fraction) -> int:
        """Convert seconds of the source to milliseconds of the result."""
        return max(0, round(time * self.slow / MILLISECOND))
