"""Detection of audio streams whose codec parameters change, so that the single header of a result
cannot describe all packets."""

from collections import Counter
from typing import Any

MIN_PACKETS = 3
"""Minimum number of packets with the same parameters; fewer may be damaged."""
ADTS_BYTES = 4
"""Bytes of an ADTS header that state profile, sample rate and channels (ISO/IEC 13818-7, 6.2)."""


class SoundHeaders:
    """Compares the codec parameters in the packets of audio streams."""

    def __init__(self) -> None:
        self._counts: dict[int, Counter[bytes]] = {}

    @property
    def changed(self) -> frozenset[int]:
        """Return the indices of the streams whose parameters change."""
        return frozenset(
            index
            for index, counts in self._counts.items()
            if sum(count >= MIN_PACKETS for count in counts.values()) > 1
        )

    def add(self, packet: Any) -> None:
        """Add a packet of an audio stream."""
        if packet.size and not packet.is_corrupt and (header := _header(packet)):
            self._counts.setdefault(packet.stream.index, Counter())[header] += 1


def _header(packet: Any) -> bytes:
    """Return the codec parameters in a packet; empty if it has none."""
    context = packet.stream.codec_context
    if context is None or context.name != "aac" or packet.size <= ADTS_BYTES:
        return b""
    header = bytes(memoryview(packet)[:ADTS_BYTES])
    if header[0] != 0xFF or header[1] & 0xF6 != 0xF0:  # no sync word
        return b""
    return bytes([header[2] & 0xFD, header[3] & 0xC0])  # without the private bit and later fields
