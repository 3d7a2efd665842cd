"""Streams of the result other than the video: copied or converted packets, and their losses."""

from collections.abc import Iterator
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, EPERM, EROFS
from fractions import Fraction
from typing import Any, Protocol

import av

OUTPUT_ERRORS = {ENOSPC, EDQUOT, EFBIG, EACCES, EPERM, EROFS, EIO, ENOENT}
"""Error numbers of the output file or its disk; all others are errors of the written data."""
STREAM_ERRORS = (av.FFmpegError, OSError, ValueError, OverflowError)
"""Exceptions of PyAV and the system for streams that a container or an encoder refuses."""
MAX_TIME = 2**62
"""In units of the time base; a packet with a larger time is damaged."""
MAX_REPORTED_LOSSES = 20
"""Number of losses of a stream that are reported individually."""
MAX_GAP = Fraction(1, 2)
"""Losses of a stream within this many seconds are reported as one."""
PGS, END_OF_COMPOSITION = "hdmv_pgs_subtitle", 0x80
"""FFmpeg's name of Blu-ray subtitles, and the segment type that ends a composition."""
PRIMING_PACKETS = 3
"""Number of audio packets that may precede the first sample: encoder delay, which Matroska does not
mark."""
JUMP = Fraction(1)
"""Seconds; a single audio packet that is further than this from its neighbours has a damaged
time."""


class UnsupportedStream(Exception):  # noqa: N818  # no failure: the stream is dropped and reported
    """A stream can neither be copied nor converted; the text is the reason."""


@dataclass
class _Loss:
    """Successive lost packets of one stream, reported as one."""

    what: str
    """Description of the loss."""
    begin: Fraction
    end: Fraction
    packets: int = 1


class Losses:
    """Packets of one stream that were lost, with their times in seconds.

    Args:
        stream: its name in the report.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.offset = Fraction(0)
        """Seconds to add to the noted times, for times in the source."""
        self.silent = False
        """Do not note losses, because the packets are outside of the result."""
        self._losses: list[_Loss] = []

    def note(self, what: str, begin: Fraction | None, end: Fraction | None = None) -> None:
        """Note a loss with its start and end, in seconds; an unknown start is the end of the loss
        before."""
        if self.silent:
            return
        last = self._losses[-1] if self._losses else None
        if begin is None:
            begin = last.end if last else Fraction(0)
        end = begin if end is None else end
        if last and last.what == what and abs(begin - last.end) <= MAX_GAP:
            last.end = max(last.end, end)
            last.packets += 1
        else:
            self._losses.append(_Loss(what, begin, end))

    def texts(self) -> list[str]:
        """Return one line for each loss."""
        lines = [self._line(loss) for loss in self._losses[:MAX_REPORTED_LOSSES]]
        more = sum(loss.packets for loss in self._losses[MAX_REPORTED_LOSSES:])
        if more:
            lines.append(f"{self.stream}: {more} more packets were damaged")
        return lines

    def _line(self, loss: _Loss) -> str:
        first = float(loss.begin + self.offset)
        last = float(loss.end + self.offset)
        where = f"at {first:.2f} s"
        if loss.end > loss.begin and loss.packets > 1:
            where = f"from {first:.2f} s to {last:.2f} s ({loss.packets} packets)"
        return f"{self.stream}: {loss.what} {where}"


class OutputStream(Protocol):
    """Copies or converts one stream of the source into the result."""

    stream: Any
    """The stream of the result."""
    losses: Losses
    preroll: Fraction
    """Seconds before the start of a span for which packets are needed too: decoded streams are cut
    at a sample."""

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield the packets of the result for a packet of the source."""

    def flush(self) -> Iterator[av.Packet]:
        """Yield the remaining packets at the end of the stream."""


class CopiedStream:
    """Copies packets; those that the source marks as damaged are dropped and reported."""

    preroll = Fraction(0)

    def __init__(
        self, source: Any, container: av.container.OutputContainer, slow: Fraction, losses: Losses
    ) -> None:
        self.stream: Any = container.add_stream_from_template(source, opaque=True)
        self.slow = slow
        self.losses = losses
        self._is_pgs = source.codec_context.codec.canonical_name == PGS

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield the packet itself."""
        if packet.is_corrupt:
            self.losses.note("a damaged packet is dropped", *times_of(packet))
            return
        if packet.stream.type == "subtitle" and not _clip_before_zero(packet):
            return
        if _is_edited_out(packet):
            return
        if self._is_pgs and (end := end_of_composition(bytes(packet))) < packet.size:
            # FFmpeg's muxer for Matroska would write the rest into the first stream of the file.
            self.losses.note(
                "data after the end of a bitmap subtitle is dropped", *times_of(packet)
            )
            packet = _truncate(packet, end)
        if not packet.size:
            return
        packet.stream = self.stream
        if self.slow != 1:
            packet.pts = _stretch(packet.pts, self.slow)
            packet.dts = _stretch(packet.dts, self.slow)
            packet.duration = _stretch(packet.duration, self.slow)
        yield packet

    def flush(self) -> Iterator[av.Packet]:
        """Yield nothing."""
        yield from ()


def _stretch(time: int | None, slow: Fraction) -> int | None:
    return None if time is None else round(time * slow)


def end_of_composition(data: bytes) -> int:
    """Return the end of the first composition of Blu-ray subtitles in a packet, or of its last
    complete segment."""
    place = 0
    while place + 3 <= len(data):
        after = place + 3 + int.from_bytes(data[place + 1 : place + 3], "big")
        if after > len(data):
            break
        segment_type = data[place]
        place = after
        if segment_type == END_OF_COMPOSITION:
            break
    return place


def _truncate(packet: av.Packet, size: int) -> av.Packet:
    short = av.Packet(bytes(packet)[:size])
    short.time_base = packet.time_base
    short.pts = packet.pts
    short.dts = packet.dts
    short.duration = packet.duration or 0
    short.is_keyframe = packet.is_keyframe
    return short


def _is_edited_out(packet: av.Packet) -> bool:
    """Return whether an edit list removes an audio packet; the last ones before 0 are kept, because
    they prime the decoder."""
    if packet.stream.type != "audio" or not packet.is_discard or packet.pts is None:
        return False
    return not -PRIMING_PACKETS * (packet.duration or 0) <= packet.pts < 0


def _clip_before_zero(packet: av.Packet) -> bool:
    """Move a subtitle that starts before 0 to 0, because Matroska would delay all streams; return
    false if it ends before 0."""
    early = -min(0, packet.pts or 0)
    if early and packet.duration:
        if packet.duration <= early:
            return False
        packet.duration -= early
    if early:
        packet.pts = packet.dts = 0
    return True


def times_of(packet: av.Packet) -> tuple[Fraction | None, Fraction | None]:
    """Return the start and the end of a packet in seconds; None if it has no time."""
    timestamp = packet.dts if packet.pts is None else packet.pts
    if timestamp is None or abs(timestamp) > MAX_TIME:
        return None, None
    end = timestamp + max(0, packet.duration or 0)
    return timestamp * packet.time_base, end * packet.time_base


class RisingTimes:
    """Converts packets to the time base of their stream, with rising dts as muxers require.

    A packet without times follows the previous one. A dts that does not rise is increased by the
    minimum that the container accepts, and a pts before the dts is set to it.

    Args:
        equal: successive packets may have equal dts, as in Matroska.
    """

    def __init__(self, *, equal: bool) -> None:
        self._min_step = 0 if equal else 1
        self._last: int | None = None
        self._duration = 0

    def fix(self, packet: av.Packet, stream: Any) -> av.Packet:
        """Return the packet with corrected times; the header of the result must be written
        already."""
        scale = packet.time_base / stream.time_base
        pts = _rescale(packet.pts, scale)
        dts = _rescale(packet.dts, scale)
        after = None if self._last is None else self._last + self._duration
        dts = next((time for time in (dts, pts, after) if time is not None), 0)
        if self._last is not None:
            dts = max(dts, self._last + self._min_step)
        pts = dts if pts is None else max(pts, dts)
        self._last = dts
        self._duration = max(0, _rescale(packet.duration, scale) or 0)
        packet.time_base = stream.time_base
        packet.pts = pts
        packet.dts = dts
        packet.duration = self._duration
        return packet


def _rescale(time: int | None, scale: Fraction) -> int | None:
    if time is None or abs(time * scale) > MAX_TIME:
        return None
    return round(time * scale)


class TimeOutlierFilter:
    """Corrects single audio packets with damaged times.

    It delays the packets by one. A packet has a damaged time if it is more than `JUMP` away from
    the end of the previous packet, and the next one is not.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._delayed: av.Packet | None = None
        self._end: Fraction | None = None
        """End of the packet before the delayed one, in seconds."""

    def feed(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Add a packet; yield the previous one."""
        yield from self._release(times_of(packet)[0])
        self._delayed = packet

    def flush(self) -> Iterator[av.Packet]:
        """Yield the last packet."""
        yield from self._release(None)

    def _release(self, following: Fraction | None) -> Iterator[av.Packet]:
        packet = self._delayed
        self._delayed = None
        if packet is None:
            return
        begin = times_of(packet)[0]
        expected = self._end
        if begin is not None and expected is not None and abs(begin - expected) > JUMP:
            outlier = following is not None and abs(following - expected) <= JUMP
            if outlier:
                self._losses.note(
                    f"a packet with a wrong time of {float(begin):.2f} s is placed", expected
                )
                packet.pts = packet.dts = round(expected / packet.time_base)
        end = times_of(packet)[1]
        self._end = self._end if end is None else end
        yield packet


def reason_of(error: Exception) -> str:
    """Return the text of an error of FFmpeg or of the system."""
    return str(getattr(error, "strerror", None) or error)
