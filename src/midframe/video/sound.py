"""Sound that is encoded again: each sample at its time, stretched with its pitch kept where the result is slower.

Between FFmpeg's filters, sound is in arrays of float32 of shape (samples, channels).
"""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, log2
from typing import Any

import av
import numpy as np

from midframe.images import Array
from midframe.video.carriers import Losses, times_of
from midframe.video.filters import pulled
from midframe.video.sound_format import (
    SoundEncoding,
    SoundFormat,
    choose_sound_encoding,
    decode_sound,
    format_of,
    mixing_by_number,
    mixing_filter,
    pieces,
)

BIT_RATE = 96_000
"""Of each channel."""
PADDING = 0.5
"""Seconds of silence after sound that is stretched, which `atempo` keeps instead of its end; it is cut off again."""
TOLERANCE = Fraction(1, 100)
"""Seconds by which a frame may lie off the end of the one before it, as containers round times."""
LONGEST_SILENCE = 3600
"""Seconds; a longer gap is a damaged time."""
LOUDEST = 16.0
"""Samples of float sound are clipped to it; decoders of damaged packets make huge ones, which encoders refuse."""
UNDECODABLE = "a packet that cannot be decoded becomes silence"


class ConvertedSound:
    """Sound is decoded, put at its times with silence in the gaps, stretched and encoded.

    Rate, channel layout and sample format come from each decoded frame, and may change in the middle of a stream.

    Args:
        source: the stream.
        container: of the result.
        slow: how many times longer the result is.
        sound: how its first frames look.
        losses: where packets that cannot be decoded are noted.
    """

    preroll = Fraction(1, 2)

    def __init__(
        self,
        source: Any,
        container: av.container.OutputContainer,
        slow: Fraction,
        sound: SoundFormat,
        losses: Losses,
    ) -> None:
        self.encoding = choose_sound_encoding(container.format.name, sound)
        encoding = self.encoding
        self.stream: Any = container.add_stream(encoding.encoder, encoding.rate, layout=encoding.layout)
        if not encoding.encoder.startswith("pcm"):
            self.stream.bit_rate = BIT_RATE * encoding.channels
        self.source, self.slow, self.losses = source, slow, losses
        self.mixed = _mixed(sound, encoding)
        """What else than the codec changes, for a report."""
        self.length: Fraction | None = None
        """Seconds from time 0 in which sound is wanted; None for all, before 0 too."""
        self._resampler: Resampler | None = None
        self._stretcher = Stretcher(encoding, slow)
        self._until = Fraction(0)
        """When the sound that was decoded ends."""
        self._placed: int | None = None
        """The number of the next sample, in the result's rate from time 0, before stretching."""
        self._first: int | None = None
        """The number of the first sample that is wanted."""
        self._lost_from: Fraction | None = None
        """When the first packet that could not be decoded begins."""
        self._promised = Fraction(0)
        """When the last packet ends."""

    @property
    def begin(self) -> Fraction | None:
        """When the decoded sound begins, in seconds of the source; None if there is none."""
        return None if self._first is None else Fraction(self._first, self.encoding.rate)

    @property
    def end(self) -> Fraction | None:
        """When the decoded sound ends, in seconds of the source; None if there is none."""
        if self._placed is None:
            return None
        end = self._until if self._lost_from is None else max(self._until, self._promised)
        return end if self.length is None else min(end, self.length)

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield the packets that become full."""
        for frame in self._decoded(packet):
            yield from self._encoded(self._at_its_time(frame, packet))

    def rest(self) -> Iterator[av.Packet]:
        """Yield what the decoder, the filters and the encoder still hold."""
        for frame in self._decoded(None):
            yield from self._encoded(self._at_its_time(frame, None))
        yield from self._encoded(self._end())
        if self._placed is not None:
            yield from self._encoded_frames(self._stretcher.rest())
            yield from self.stream.encode(None)

    def _decoded(self, packet: av.Packet | None) -> list[Any]:
        begin, end = times_of(packet) if packet else (None, None)
        self._promised = max(self._promised, end or self._promised)
        self.losses.silent = self.length is not None and end is not None and end <= 0
        if packet is None or not packet.is_corrupt:
            try:
                return decode_sound(self.source.codec_context, packet)
            except (av.FFmpegError, ValueError) as error:
                if packet is None or isinstance(error, av.EOFError):
                    return []
        self.losses.note(UNDECODABLE, begin, end)
        if begin is not None and not self.losses.silent and self._lost_from is None:
            self._lost_from = begin
        return []

    def _at_its_time(self, frame: Any, packet: av.Packet | None) -> Iterator[Array]:
        """The samples that come next, silence before them where there is a gap."""
        base = frame.time_base or (packet.time_base if packet else None)
        begin = self._until if frame.pts is None or base is None else frame.pts * base
        sound = format_of(frame)
        off = begin - self._until
        if self._placed is not None and abs(off) > LONGEST_SILENCE:
            self.losses.note(f"a damaged time of {float(begin):.0f} s is put", self._until)
            begin, off = self._until, Fraction(0)
        if self._resampler is None or sound != self._resampler.sound or abs(off) > TOLERANCE:
            yield from self._new_segment(sound, begin)
        if self._resampler is None:
            return
        try:
            resampled = list(self._resampler.feed(frame))
        except (av.FFmpegError, ValueError):
            self._resampler = None
            self.losses.note(UNDECODABLE, begin)
            return
        self._until += Fraction(frame.samples, frame.sample_rate)
        for samples in resampled:
            yield from self._placed_at_once(samples)

    def _new_segment(self, sound: SoundFormat, begin: Fraction) -> Iterator[Array]:
        """End what was before, fill up to a time with silence, or drop what overlaps."""
        yield from self._drained()
        self._until = begin
        try:
            self._resampler = Resampler(sound, self.encoding)
        except (av.FFmpegError, ValueError):
            self.losses.note(f"sound of {sound.channels} channels ({sound.layout}) becomes silence", begin)
            return
        first = round(begin * self.encoding.rate)
        if self._placed is None:
            self._placed = first
        if self.length is not None and self._placed < 0 < first:
            self._placed = 0
        yield from self._silence(first - self._placed)
        self._resampler.skip = self._placed - first

    def _drained(self) -> Iterator[Array]:
        if self._resampler is None or self._placed is None:
            return
        end = round(self._until * self.encoding.rate)
        last, self._resampler = self._resampler, None
        for samples in last.rest():
            yield from self._placed_at_once(samples[: max(0, end - self._placed)])

    def _end(self) -> Iterator[Array]:
        yield from self._drained()
        if self._lost_from is not None:
            if self._placed is None:
                self._placed = round(self._lost_from * self.encoding.rate)
            yield from self._silence(round(self._promised * self.encoding.rate) - self._placed)

    def _silence(self, count: int) -> Iterator[Array]:
        for piece in pieces(count, self.encoding.rate):
            yield from self._placed_at_once(np.zeros((piece, self.encoding.channels), np.float32))

    def _placed_at_once(self, samples: Array) -> Iterator[Array]:
        """The samples that lie in the window, which now come next."""
        assert self._placed is not None
        begin = self._placed
        self._placed += len(samples)
        if self.length is not None:
            length = round(self.length * self.encoding.rate)
            samples = samples[max(0, -begin) : max(0, length - begin)]
            begin = max(0, begin)
        if len(samples):
            self._first = begin if self._first is None else self._first
            self._stretcher.begin_at(begin)
            yield samples

    def _encoded(self, samples: Iterator[Array]) -> Iterator[av.Packet]:
        for each in samples:
            yield from self._encoded_frames(self._stretcher.feed(each))

    def _encoded_frames(self, frames: Iterator[Any]) -> Iterator[av.Packet]:
        for frame in frames:
            try:
                yield from self.stream.encode(frame)
            except av.FFmpegError as error:
                self.losses.note(f"sound that cannot be encoded ({error.strerror}) is dropped", self._until)


class Resampler:
    """One filter graph from sound of one format to arrays of the rate and layout of the result.

    Raises:
        av.FFmpegError, ValueError: FFmpeg cannot convert such sound.
    """

    def __init__(self, sound: SoundFormat, encoding: SoundEncoding) -> None:
        self.sound, self.channels = sound, encoding.channels
        self.skip = 0
        """How many of the next samples overlap with what was before."""
        mixing = mixing_filter(sound, encoding)
        try:
            self._build(encoding, mixing)
        except av.FFmpegError:
            if mixing:
                raise
            self._build(encoding, mixing_by_number(sound, encoding))

    def _build(self, encoding: SoundEncoding, mixing: str | None) -> None:
        self._graph = av.filter.Graph()
        filters = [self._graph.add("pan", mixing)] if mixing else []
        filters += [self._graph.add("aresample", str(encoding.rate))]
        self._begin, self._last = _linked(self._graph, self.sound, filters, encoding.layout)

    def feed(self, frame: Any) -> Iterator[Array]:
        """Yield the samples that are ready."""
        frame.pts = None
        self._begin.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[Array]:
        """Yield the last samples."""
        self._begin.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[Array]:
        for frame in pulled(self._last):
            samples = frame.to_ndarray().reshape(-1, self.channels)  # packed, so there is one plane
            late, self.skip = samples[max(0, self.skip) :], max(0, self.skip - len(samples))
            if len(late):
                clean = np.nan_to_num(late, nan=0.0, posinf=LOUDEST, neginf=-LOUDEST)
                yield np.clip(clean, -LOUDEST, LOUDEST)


class Stretcher:
    """Makes sound longer with its pitch kept, and gives frames with the times of the result."""

    def __init__(self, encoding: SoundEncoding, slow: Fraction) -> None:
        self.encoding, self.slow = encoding, slow
        self._graph: av.filter.Graph | None = None
        self._first: int | None = None
        self._taken, self._given = 0, 0

    def begin_at(self, sample: int) -> None:
        """State where the first sample lies before stretching; later calls have no effect."""
        if self._first is None:
            self._first = round(sample * self.slow)

    def feed(self, samples: Array) -> Iterator[Any]:
        """Yield frames that are ready."""
        frame = self._frame(samples)
        frame.pts = self._taken
        self._taken += len(samples)
        if self.slow == 1:
            yield self._timed(samples)
            return
        if self._graph is None:
            self._graph = self._new_graph()
        self._begin.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[Any]:
        """Yield the last frames."""
        if self._graph is not None:
            self._begin.push(None)
            yield from self._ready()

    def _ready(self) -> Iterator[Any]:
        """One `atempo` keeps its last window, so what it gives ends where the stretched sound does."""
        for frame in pulled(self._last):
            samples = frame.to_ndarray().reshape(-1, self.encoding.channels)
            samples = samples[: max(0, round(self._taken * self.slow) - self._given)]
            if len(samples):
                yield self._timed(samples)

    def _timed(self, samples: Array) -> Any:
        assert self._first is not None
        frame = self._frame(samples)
        frame.pts = self._first + self._given
        self._given += len(samples)
        return frame

    def _frame(self, samples: Array) -> Any:
        packed = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self.encoding.layout)
        frame.sample_rate, frame.time_base = self.encoding.rate, Fraction(1, self.encoding.rate)
        return frame

    def _new_graph(self) -> av.filter.Graph:
        graph = av.filter.Graph()
        count = ceil(log2(self.slow))  # one atempo halves the tempo at most
        filters = [graph.add("apad", f"pad_dur={PADDING}")]
        filters += [graph.add("atempo", f"{float(self.slow) ** (-1 / count):.12f}") for _ in range(count)]
        sound = SoundFormat(self.encoding.rate, "flt", self.encoding.layout, self.encoding.channels)
        self._begin, self._last = _linked(graph, sound, filters, self.encoding.layout)
        return graph


def _linked(graph: av.filter.Graph, sound: SoundFormat, filters: list[Any], layout: str) -> tuple[Any, Any]:
    """The ends of a graph that takes sound of one format, and gives packed floats of a layout."""
    begin = graph.add_abuffer(
        sample_rate=sound.rate,
        format=sound.sample_format,
        layout=sound.layout,
        time_base=Fraction(1, sound.rate),
    )
    form = graph.add("aformat", sample_fmts="flt", channel_layouts=layout)
    last = graph.add("abuffersink")
    graph.link_nodes(begin, *filters, form, last).configure()
    return begin, last


def _mixed(sound: SoundFormat, encoding: SoundEncoding) -> str:
    return "" if encoding.channels == sound.channels else f"{sound.channels} channels mixed to {encoding.channels}"
