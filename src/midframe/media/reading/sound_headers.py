"""Sound whose codec parameters change in the middle of a stream, so that one header of a result
cannot describe all of its packets."""

from collections import Counter
from typing import Any

MIN_PACKETS = 3
"""So many packets must state the same parameters."""
ADTS_BYTES = 4
"""Bytes of an ADTS header that state profile, sample rate and channels (ISO/IEC 13818-7, 6.2)."""


class SoundHeaders:
    """Compares what the packets of sound streams state of their codec's parameters."""

    def __init__(self) -> None:
        self._counts: dict[int, Counter[bytes]] = {}

    @property
    def changed(self) -> frozenset[int]:
        """Indices of the streams whose parameters change; a single packet may be damaged."""
        return frozenset(
            index
            for index, counts in self._counts.items()
            if sum(count >= MIN_PACKETS for count in counts.values()) > 1
        )

    def add(self, packet: Any) -> None:
        """Take a packet of a sound stream."""
        if packet.size and not packet.is_corrupt and (header := _header(packet)):
            self._counts.setdefault(packet.stream.index, Counter())[header] += 1


def _header(packet: Any) -> bytes:
    """The parameters that a packet states; empty if it states none."""
    context = packet.stream.codec_context
    if context is None or context.name != "aac" or packet.size <= ADTS_BYTES:
        return b""
    first, second, third, fourth = bytes(memoryview(packet)[:ADTS_BYTES])
    if first != 0xFF or second & 0xF6 != 0xF0:
        return b""
    return bytes([third & 0xFD, fourth & 0xC0])  # without the private bit and what follows
