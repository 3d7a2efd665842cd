"""What becomes of the streams beside the picture: passed on as they are, converted, or left out with a reason."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, log2
from typing import Any, Protocol

import av
import numpy as np
from av.filter.context import FilterContext
from av.stream import Discard
from av.subtitles.subtitle import SubtitleSet

from midframe.video.containers import held_codecs
from midframe.video.filters import pulled
from midframe.video.reader import is_cover

SOUND_ENCODERS = {"webm": "libopus"}
"""Of sound that is slowed down or that the container cannot hold, where it is not AAC."""
PADDING = 0.5
"""Seconds of silence after sound that is stretched, which `atempo` keeps instead of its end; it is cut off again."""
SOUND_BIT_RATE = 96_000
"""Of each channel of such sound."""
TEXT_ENCODERS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
ALSO_IN_MATROSKA = {"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
"""Kinds that FFmpeg can pass on but not encode, which its list of what a container holds leaves out."""
PICTURE_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}
"""Ending and media type of cover pictures."""
MILLISECOND = Fraction(1, 1000)


class Carrier(Protocol):
    """Carries one stream from the source to the result."""

    stream: Any
    """Of the result."""

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """What the result gets for a packet of the source."""

    def rest(self) -> Iterator[av.Packet]:
        """What it gets after the last one."""


class CannotCarry(Exception):  # noqa: N818  # not a failure: the stream is left out, and told
    """Why a stream does not go into the result."""


def carrier_for(
    source: Any, container: av.container.OutputContainer, slow: Fraction, *, mute: bool
) -> tuple[Carrier | None, str]:
    """Find how a stream gets into the result, and add it there.

    Args:
        source: a stream that is not the picture.
        container: of the result, before anything is written to it.
        slow: how many times longer the result is.
        mute: leave sound out, as was asked for.

    Returns:
        The carrier, None where no packets are to be carried, and what a person should be told of it, if anything.

    Raises:
        CannotCarry: with the reason.
    """
    if source.type == "attachment":
        return None, _attach(source, container)
    if source.type == "data" and source.discard == Discard.all:
        return None, ""  # chapters, which MP4 keeps in a stream of texts
    if source.type == "audio" and mute:
        return None, ""
    if source.codec_context is None:
        raise CannotCarry("data of an unknown kind")
    name = source.codec_context.codec.canonical_name
    fits = _fits(source, container, name)
    if source.type == "audio" and (slow != 1 or not fits):
        sound = ConvertedSound(source, container, slow)
        return sound, "" if fits else f"{name} sound becomes {sound.stream.codec_context.codec.canonical_name}"
    text_encoder = TEXT_ENCODERS.get(container.format.name)
    if source.type == "subtitle" and not fits and text_encoder and source.codec_context.codec.text_sub:
        text = ConvertedText(source, container, slow)
        return text, f"{name} subtitles become {text.stream.codec_context.codec.canonical_name}"
    if is_cover(source) and fits and container.format.name == "matroska":
        return None, _attach_cover(source, container, name)
    if fits and (source.type in ("audio", "subtitle") or is_cover(source)):
        return Passed(source, container, slow), ""
    if source.type == "video" and not is_cover(source):
        raise CannotCarry(f"{name}: a second moving picture")
    raise CannotCarry(f"{name}: {container.format.name} files cannot hold it")


def _fits(source: Any, container: av.container.OutputContainer, name: str) -> bool:
    """Whether a container holds a stream as it is."""
    if is_cover(source):
        holders = {"matroska": name in PICTURE_TYPES, "mp4": name in held_codecs(container)}
        return holders.get(container.format.name, False)  # FFmpeg writes none into QuickTime files
    also = container.format.name == "matroska" and name in ALSO_IN_MATROSKA
    return also or name in held_codecs(container)


class Passed:
    """Packets go on as they are."""

    def __init__(self, source: Any, container: av.container.OutputContainer, slow: Fraction) -> None:
        self.stream: Any = container.add_stream_from_template(source, opaque=True)
        self.slow = slow

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """The packet itself."""
        packet.stream = self.stream
        if self.slow != 1:
            packet.pts, packet.dts, packet.duration = (
                None if time is None else round(time * self.slow)
                for time in (packet.pts, packet.dts, packet.duration)
            )  # fmt: skip
        yield packet

    def rest(self) -> Iterator[av.Packet]:
        """Nothing."""
        yield from ()


class ConvertedSound:
    """Sound is decoded, stretched with its pitch kept, and encoded again."""

    def __init__(self, source: Any, container: av.container.OutputContainer, slow: Fraction) -> None:
        context = source.codec_context
        encoder = SOUND_ENCODERS.get(container.format.name, "aac")
        self.rate = 48000 if encoder == "libopus" else context.sample_rate
        self.stream: Any = container.add_stream(encoder, self.rate, layout=context.layout.name)
        self.stream.bit_rate = SOUND_BIT_RATE * context.layout.nb_channels
        self.slow, self.layout = slow, context.layout.name
        self._ends: tuple[av.filter.Graph, FilterContext, FilterContext] | None = None
        self._next, self._end = 0, 0
        """Where the next sample lies, and where the last one is to."""

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Those that become full."""
        for frame in packet.decode():
            if self._ends is None:
                self._next = round((frame.pts or 0) * frame.time_base * self.slow * self.rate)
                self._ends = self._stretcher(frame)
            end = (frame.pts or 0) * frame.time_base + Fraction(frame.samples, frame.sample_rate)
            self._end = round(end * self.slow * self.rate)
            self._ends[1].push(frame)
            yield from self._encoded()

    def rest(self) -> Iterator[av.Packet]:
        """What the decoder, the stretching and the encoder still hold."""
        if self._ends:
            self._ends[1].push(None)
            yield from self._encoded()
            yield from self.stream.encode(None)

    def _encoded(self) -> Iterator[av.Packet]:
        assert self._ends
        for stretched in pulled(self._ends[2]):
            frame = _shortened(stretched, self._end - self._next)
            if not frame.samples:
                continue
            frame.pts, frame.time_base = self._next, Fraction(1, self.rate)
            self._next += frame.samples
            yield from self.stream.encode(frame)

    def _stretcher(self, frame: Any) -> tuple[av.filter.Graph, FilterContext, FilterContext]:
        """Gaps are filled with silence first; one atempo halves the tempo at most, and keeps its last window."""
        graph = av.filter.Graph()
        begin = graph.add_abuffer(
            sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=frame.time_base
        )
        count = ceil(log2(self.slow)) if self.slow > 1 else 0
        filters = [graph.add("aresample", f"{self.rate}:async=1")]
        filters += [graph.add("apad", f"pad_dur={PADDING}")] if count else []
        filters += [graph.add("atempo", f"{float(self.slow) ** (-1 / count):.12f}") for _ in range(count)]
        sample_format = self.stream.codec_context.format.name
        filters += [
            graph.add("aformat", f"sample_fmts={sample_format}:channel_layouts={self.layout}"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(begin, *filters).configure()
        return graph, begin, filters[-1]


def _shortened(frame: Any, most: int) -> Any:
    """Sound of so many samples at most."""
    if frame.samples <= most:
        return frame
    channels = 1 if frame.format.is_planar else frame.layout.nb_channels
    cut = frame.to_ndarray()[:, : max(0, most) * channels]
    kept = av.AudioFrame.from_ndarray(np.ascontiguousarray(cut), format=frame.format.name, layout=frame.layout.name)
    kept.sample_rate = frame.sample_rate
    return kept


class ConvertedText:
    """Subtitles are read and written again as another kind of text."""

    def __init__(self, source: Any, container: av.container.OutputContainer, slow: Fraction) -> None:
        self.stream: Any = container.add_stream(TEXT_ENCODERS[container.format.name])
        self.source, self.slow = source, slow
        self.stream.codec_context.subtitle_header = source.codec_context.subtitle_header or ASS_HEADER
        self.stream.time_base = self.stream.codec_context.time_base = MILLISECOND

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """The same text."""
        read = self.source.codec_context.decode2(packet)
        if packet.pts is None or not read:
            return
        shown = [round(time * packet.time_base * self.slow / MILLISECOND) for time in (packet.pts, packet.duration)]
        for line in read:
            made = self.stream.codec_context.encode_subtitle(SubtitleSet.create(line.ass, 0, shown[1], shown[0] * 1000))
            made.stream, made.time_base = self.stream, MILLISECOND
            made.pts, made.dts, made.duration = shown[0], shown[0], shown[1]
            yield made

    def rest(self) -> Iterator[av.Packet]:
        """Nothing."""
        yield from ()


ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""What FFmpeg's encoders of text want to know of styles, as its own decoders would tell it."""


def _attach(source: Any, container: av.container.OutputContainer) -> str:
    if container.format.name != "matroska":
        raise CannotCarry(f"{source.metadata.get('filename', 'a file')}: only .mkv files hold attachments")
    container.add_attachment(source.metadata.get("filename", "file"), source.mimetype or "", source.data)
    return ""


def _attach_cover(source: Any, container: av.container.OutputContainer, name: str) -> str:
    ending, media_type = PICTURE_TYPES[name]
    with av.open(source.container.name) as again:
        packet = next(again.demux(again.streams[source.index]))
    container.add_attachment(f"cover.{ending}", media_type, bytes(packet))
    return ""
