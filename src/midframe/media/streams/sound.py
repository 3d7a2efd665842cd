"""Re-encoded sound: each sample at its time, stretched at constant pitch for slow motion.

Between FFmpeg's filters, samples are float32 arrays (samples, channels).
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from midframe.media.pictures.images import Array
from midframe.media.streams.output_streams import Losses, times_of
from midframe.media.streams.sound_filters import Resampler, Stretcher
from midframe.media.streams.sound_format import (
    SoundEncoding,
    SoundFormat,
    choose_sound_encoding,
    chunk_lengths,
    decode_sound,
    format_of,
)

BIT_RATE = 96_000
"""Bits per second of encoded sound, per channel."""
TOLERANCE = Fraction(1, 100)
"""Largest gap or overlap of two frames, in seconds, that is attributed to rounding."""
MAX_SILENCE = 3600
"""Seconds; a longer gap is a damaged time."""
UNDECODABLE = "a packet that cannot be decoded becomes silence"


class ConvertedSound:
    """An `OutputStream` that decodes sound, fills gaps with silence, stretches and encodes it.

    Rate, channel layout and sample format are those of each decoded frame, and may change in the
    middle of a stream.

    Args:
        source: the stream.
        container: of the result.
        slow: factor of slow motion.
        sound: format of its first frames.
        losses: to which packets that cannot be decoded are added.
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
        codec = source.codec_context.codec.canonical_name
        self.encoding = choose_sound_encoding(container.format.name, sound, codec)
        encoding = self.encoding
        self.stream: Any = container.add_stream(
            encoding.encoder, encoding.rate, layout=encoding.layout
        )
        if not encoding.encoder.startswith("pcm"):
            self.stream.bit_rate = BIT_RATE * encoding.channels
        self.source = source
        self.slow = slow
        self.losses = losses
        self.mix_note = mix_note(sound, encoding)
        """Changes besides the codec, for the report."""
        self.length: Fraction | None = None
        """Sound is cut to this many seconds from time 0; None for all, also before 0."""
        self._resampler: Resampler | None = None
        self._stretcher = Stretcher(encoding, slow)
        self._decoded_end = Fraction(0)
        """End of the decoded sound, in seconds."""
        self._next_sample: int | None = None
        """Index of the next sample, at the result's sample rate from time 0, before stretching."""
        self._first: int | None = None
        """Index of the first sample in the result."""
        self._undecoded_from: Fraction | None = None
        """Start of the first packet that could not be decoded, in seconds."""
        self._packets_end = Fraction(0)
        """End of the last packet, decoded or not, in seconds."""

    @property
    def begin(self) -> Fraction | None:
        """Return the start of the decoded sound in seconds of the source; None if there is none."""
        return None if self._first is None else Fraction(self._first, self.encoding.rate)

    @property
    def end(self) -> Fraction | None:
        """Return the end of the decoded sound in seconds of the source; None if there is none."""
        if self._next_sample is None:
            return None
        end = (
            self._decoded_end
            if self._undecoded_from is None
            else max(self._decoded_end, self._packets_end)
        )
        return end if self.length is None else min(end, self.length)

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Decode a packet, and yield the encoded packets that are ready."""
        for frame in self._decode(packet):
            yield from self._encode(self._place(frame, packet))

    def flush(self) -> Iterator[av.Packet]:
        """Flush the decoder, the filters and the encoder."""
        for frame in self._decode(None):
            yield from self._encode(self._place(frame, None))
        yield from self._encode(self._final_samples())
        if self._next_sample is not None:
            yield from self._encode_frames(self._stretcher.flush())
            yield from self.stream.encode(None)

    def _decode(self, packet: av.Packet | None) -> list[Any]:
        begin, end = times_of(packet) if packet else (None, None)
        self._packets_end = max(self._packets_end, end or self._packets_end)
        self.losses.silent = self.length is not None and end is not None and end <= 0
        if packet is None or not packet.is_corrupt:
            try:
                return decode_sound(self.source.codec_context, packet)
            except (av.FFmpegError, ValueError) as error:
                if packet is None or isinstance(error, av.EOFError):
                    return []
        self.losses.note(UNDECODABLE, begin, end)
        if begin is not None and not self.losses.silent and self._undecoded_from is None:
            self._undecoded_from = begin
        return []

    def _place(self, frame: Any, packet: av.Packet | None) -> Iterator[Array]:
        """Yield the samples of a frame, preceded by silence if there is a gap."""
        base = frame.time_base or (packet.time_base if packet else None)
        begin = self._decoded_end if frame.pts is None or base is None else frame.pts * base
        sound = format_of(frame)
        gap = begin - self._decoded_end
        if self._next_sample is not None and abs(gap) > MAX_SILENCE:
            self.losses.note(
                f"a packet with a wrong time of {float(begin):.0f} s is placed", self._decoded_end
            )
            begin = self._decoded_end
            gap = Fraction(0)
        if self._resampler is None or sound != self._resampler.sound or abs(gap) > TOLERANCE:
            yield from self._begin_segment(sound, begin)
        if self._resampler is None:
            return
        try:
            resampled = list(self._resampler.feed(frame))
        except (av.FFmpegError, ValueError):
            self._resampler = None
            self.losses.note(UNDECODABLE, begin)
            return
        self._decoded_end += Fraction(frame.samples, frame.sample_rate)
        for samples in resampled:
            yield from self._clip_to_window(samples)

    def _begin_segment(self, sound: SoundFormat, begin: Fraction) -> Iterator[Array]:
        """Flush the filters; fill a gap before `begin` with silence, or skip overlapping
        samples."""
        yield from self._drain()
        self._decoded_end = begin
        try:
            self._resampler = Resampler(sound, self.encoding)
        except (av.FFmpegError, ValueError):
            self.losses.note(
                f"sound of {sound.channels} channels ({sound.layout}) becomes silence", begin
            )
            return
        first = round(begin * self.encoding.rate)
        if self._next_sample is None:
            self._next_sample = first
        if self.length is not None and self._next_sample < 0 < first:
            self._next_sample = 0
        yield from self._silence(first - self._next_sample)
        self._resampler.skip = self._next_sample - first

    def _drain(self) -> Iterator[Array]:
        if self._resampler is None or self._next_sample is None:
            return
        end = round(self._decoded_end * self.encoding.rate)
        resampler = self._resampler
        self._resampler = None
        for samples in resampler.flush():
            yield from self._clip_to_window(samples[: max(0, end - self._next_sample)])

    def _final_samples(self) -> Iterator[Array]:
        yield from self._drain()
        if self._undecoded_from is not None:
            if self._next_sample is None:
                self._next_sample = round(self._undecoded_from * self.encoding.rate)
            yield from self._silence(
                round(self._packets_end * self.encoding.rate) - self._next_sample
            )

    def _silence(self, count: int) -> Iterator[Array]:
        for length in chunk_lengths(count, self.encoding.rate):
            yield from self._clip_to_window(np.zeros((length, self.encoding.channels), np.float32))

    def _clip_to_window(self, samples: Array) -> Iterator[Array]:
        """Yield the part of the next samples that is in the result."""
        assert self._next_sample is not None
        begin = self._next_sample
        self._next_sample += len(samples)
        if self.length is not None:
            length = round(self.length * self.encoding.rate)
            samples = samples[max(0, -begin) : max(0, length - begin)]
            begin = max(0, begin)
        if len(samples):
            self._first = begin if self._first is None else self._first
            self._stretcher.begin_at(begin)
            yield samples

    def _encode(self, samples: Iterator[Array]) -> Iterator[av.Packet]:
        for each in samples:
            yield from self._encode_frames(self._stretcher.feed(each))

    def _encode_frames(self, frames: Iterator[Any]) -> Iterator[av.Packet]:
        for frame in frames:
            try:
                yield from self.stream.encode(frame)
            except av.FFmpegError as error:
                self.losses.note(
                    f"sound that cannot be encoded ({error.strerror}) is dropped", self._decoded_end
                )


def mix_note(sound: SoundFormat, encoding: SoundEncoding) -> str:
    """Describe the change of the number of channels; empty if there is none."""
    if encoding.channels == sound.channels:
        return ""
    return f"{sound.channels} channels mixed to {encoding.channels}"
