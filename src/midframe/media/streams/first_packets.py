"""The first packets of the streams of a source, and the formats of the audio among them."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av

from midframe.media.reading.video_file import is_cover
from midframe.media.streams.output_streams import STREAM_ERRORS, times_of
from midframe.media.streams.sound_format import SoundFormat, decode_sound, format_of, stated_format

FIRST_PACKETS = 12
"""Number of packets of each stream in a trial."""
FIRST_SOUND = Fraction(1, 4)
"""Seconds of sound in a trial: packets of TrueHD hold 40 samples, and several packets of the result
are needed."""
MAX_FIRST_PACKETS = 600
"""Largest number of packets in a trial of sound."""
MAX_UNDECODABLE = 200
"""Number of packets after which an audio stream is considered undecodable."""
MAX_BYTES = 64 << 20
"""Maximum number of bytes that are read to find the first packets of all streams."""


@dataclass
class FirstPackets:
    """The first packets of streams of an open source."""

    packets: dict[int, list[av.Packet]] = field(default_factory=dict)
    sounds: dict[int, SoundFormat] = field(default_factory=dict)
    """Formats of the first decoded audio frames, or else as the decoders state them, by stream
    index."""
    undecodable: set[int] = field(default_factory=set)
    """Indices of the audio streams whose formats are only stated, because none of their first
    packets can be decoded."""
    complete: bool = False
    """The source was read to its end."""


def read_first_packets(source: Any, streams: Sequence[Any]) -> FirstPackets:
    """Read the first packets of some streams, and the formats of the audio among them."""
    found = FirstPackets({stream.index: [] for stream in streams})
    incomplete = {stream.index for stream in streams if not is_cover(stream)}
    tried = Counter[int]()
    """Number of packets of each audio stream that were decoded in search of its format."""
    size = 0
    # PyAV raises the IndexError at the end if streams appeared in the middle of a file
    with suppress(av.FFmpegError, IndexError):
        for packet in source.demux():
            size += packet.size
            index = packet.stream.index
            if packet.size and index in found.packets:
                is_audio = packet.stream.type == "audio"
                if is_audio and index not in found.sounds:
                    tried[index] += 1
                    _read_sound_format(packet, found)
                enough = _suffice(found.packets[index], is_audio=is_audio)
                if not enough:
                    found.packets[index].append(packet)
                format_known = not is_audio or index in found.sounds
                if enough and (format_known or tried[index] >= MAX_UNDECODABLE):
                    incomplete.discard(index)
            if not incomplete or size > MAX_BYTES:
                break
        else:
            found.complete = True
    _add_stated_formats(streams, found)
    return found


def _suffice(packets: Sequence[av.Packet], *, is_audio: bool) -> bool:
    """Return whether the first packets of a stream suffice for a trial."""
    if len(packets) < FIRST_PACKETS or not is_audio:
        return len(packets) >= FIRST_PACKETS
    begin, end = times_of(packets[0])[0], times_of(packets[-1])[1]
    if begin is None or end is None or len(packets) >= MAX_FIRST_PACKETS:
        return True
    return end - begin >= FIRST_SOUND


def _add_stated_formats(streams: Sequence[Any], found: FirstPackets) -> None:
    """Add the formats that the decoders state, for audio without a decodable packet."""
    for stream in streams:
        if stream.type == "audio" and stream.codec_context and stream.index not in found.sounds:
            stated = stated_format(stream.codec_context)
            if stated and found.packets[stream.index]:
                found.sounds[stream.index] = stated
                found.undecodable.add(stream.index)


def _read_sound_format(packet: av.Packet, found: FirstPackets) -> None:
    context = packet.stream.codec_context
    if context is None or packet.is_corrupt:
        return
    with suppress(*STREAM_ERRORS):
        for frame in decode_sound(context, packet):
            found.sounds.setdefault(packet.stream.index, format_of(frame))
