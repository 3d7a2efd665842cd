"""A pass over the packets of a source before decoding: see `midframe.media.reading.survey`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

import av

from midframe.media.reading.clock_jumps import ClockJumps, StreamClock
from midframe.media.reading.sound_headers import SoundHeaders
from midframe.media.reading.survey import Span, Survey
from midframe.media.reading.video_file import demux

FIRST_PACKETS = 300
"""Number of packets that are read before seeking, to find the start of the video."""
SURVEY_SECONDS = 5
"""Seconds by which a survey extends beyond a time range, since packets are not in presentation
order."""
PRIMING = Fraction(1)
"""Seconds before 0 at which sound may begin (encoder delay), if the video does not, without a
correction of the clock."""


def take_survey(
    packets: Iterable[Any], picture: Any, *, counted: bool, clock_jumps: bool
) -> Survey:
    """Survey packets in the order of the file.

    Args:
        packets: of the video and audio streams.
        picture: the video stream.
        counted: the container has no timestamps: times follow from the decoding order.
        clock_jumps: the clock of this container format may jump ahead.
    """
    survey = _PacketSurvey(picture, counted=counted, clock_jumps=clock_jumps)
    for packet in packets:
        survey.add(packet)
    return survey.result()


class _PacketSurvey:
    """Collects the times of packets; arguments as of `take_survey`."""

    def __init__(self, picture: Any, *, counted: bool, clock_jumps: bool) -> None:
        self._picture = picture
        self._counted = counted
        self._jumps = ClockJumps(ahead=clock_jumps)
        self._clocks: dict[int, StreamClock] = {}
        self._headers = SoundHeaders()
        self._shown: list[tuple[int, Fraction]] = []
        """(epoch, time by the file's clock) of the video frames."""
        self._untimed: list[tuple[int, Fraction]] = []
        """(epoch, duration in seconds) of the frames without a timestamp."""
        self._leading: list[Fraction] = []
        """Durations in seconds of the frames without a timestamp before the first one with one."""
        self._total = 0
        self._flagged = 0
        self._delayed = False

    def add(self, packet: Any) -> None:
        """Add the next packet of the file."""
        is_frame = packet.stream is self._picture and packet.size
        if packet.stream is not self._picture:
            self._headers.add(packet)
        if is_frame:
            self._total += 1
            self._flagged += packet.is_corrupt
            self._delayed |= packet.dts is not None and packet.pts not in (None, packet.dts)
        if packet.dts is not None or packet.pts is not None:
            self._add_timed(packet)
        elif is_frame and packet.duration and not packet.is_discard:
            self._add_untimed(packet.duration * packet.time_base)

    def _add_untimed(self, duration: Fraction) -> None:
        clock = self._clocks.get(self._picture.index)
        if clock is None:
            self._leading.append(duration)
        else:
            self._untimed.append((clock.epoch, duration))

    def _add_timed(self, packet: Any) -> None:
        clock = self._clocks.setdefault(packet.stream.index, StreamClock())
        if packet.dts is not None:  # only decoding times rise in the order of the file
            self._jumps.detect(clock, packet)
        decoding = packet.pts is None or (self._counted and packet.dts is not None)
        begin = packet.time_base * (packet.dts if decoding else packet.pts)
        clock.duration = (packet.duration or 0) * packet.time_base
        if packet.is_discard:
            return
        # durations belong to decoding order, so only that of the last video packet is added, later
        is_picture = packet.stream is self._picture
        clock.extend(begin, begin if is_picture else begin + clock.duration)
        if is_picture and packet.size:
            self._shown.append((clock.epoch, begin))

    def result(self) -> Survey:
        """Return the survey of the packets so far."""
        shown = self._shown
        untimed = self._untimed
        clock = self._clocks.get(self._picture.index)
        edges = clock.edges if clock else {}
        if self._leading and 0 in edges:
            shown = [*_leading_times(self._leading, edges[0].begin), *shown]
            edges[0] = replace(edges[0], begin=shown[0][1])
        else:
            untimed = [*((0, duration) for duration in self._leading), *untimed]
        summary = self._summarise([*shown, *_estimate_times(shown, untimed)])
        return replace(
            summary,
            timed=not (untimed or self._leading),
            mostly_corrupt=self._flagged * 2 > self._total,
            rising=all(before <= after for before, after in pairwise(shown)),
            delayed=self._delayed,
            changed_sounds=self._headers.changed,
        )

    def _summarise(self, shown: Sequence[tuple[int, Fraction]]) -> Survey:
        """Return the times of frames and streams by a clock that begins at 0 and does not jump."""
        clocks = self._clocks
        picture = self._picture.index
        epochs = self._jumps.epochs(picture)
        all_begins = [
            edge.begin + epochs[epoch].offset
            for clock in clocks.values()
            for epoch, edge in clock.edges.items()
        ]
        start = min(all_begins, default=Fraction(0))
        own = clocks[picture].edges if picture in clocks else {}
        first = min(
            (span.begin + epochs[epoch].offset for epoch, span in own.items()), default=start
        )
        shift = -start if start > 0 or start < -PRIMING or first < 0 else Fraction(0)
        spans = {}
        for index, clock in clocks.items():
            edges = [(edge, epochs[epoch].offset + shift) for epoch, edge in clock.edges.items()]
            if edges:
                begin = min(edge.begin + offset for edge, offset in edges)
                end = max(edge.end + offset for edge, offset in edges)
                spans[index] = Span(begin, end + clock.duration if index == picture else end)
        for number, epoch in enumerate(epochs):
            firsts = [
                clock.edges[number].begin for clock in clocks.values() if number in clock.edges
            ]
            epoch.at = min(firsts, default=Fraction(0)) + epoch.offset + shift
        entered = {index: tuple(clock.entered) for index, clock in clocks.items() if clock.entered}
        if picture in entered:
            entered[-1] = entered[picture]  # streams that were not surveyed jump with the picture
        times = sorted(time + epochs[epoch].offset + shift for epoch, time in shown)
        last = spans[picture].end if picture in spans else None
        return Survey(tuple(times), last, shift, entered, tuple(epochs), spans)


def packets_near(
    container: Any, picture: Any, start: float, end: float | None, *, seekable: bool
) -> Iterator[Any]:
    """Yield packets of the video and audio streams: those near a time range if the container is
    seekable, otherwise all up to its end.

    Args:
        container: at its beginning.
        picture: the video stream.
        start, end: of the time range, in seconds; None for the end of the file.
        seekable: the container can seek to a time.
    """
    streams = [picture, *container.streams.audio]
    packets = demux(container, streams)
    first: float | None = None
    last: dict[int, int] = {}
    """The last decoding time of each stream."""
    repeated: dict[int, int] = {}
    """The same for streams whose packets from before the seek may come again: it ends at a key
    frame, which may lie before them."""
    count = 0
    sought = start <= SURVEY_SECONDS or not seekable
    while True:
        for packet in packets:
            if packet.dts is not None:
                index = packet.stream.index
                if packet.dts <= repeated.get(index, packet.dts - 1):
                    continue
                repeated.pop(index, None)
                last[index] = packet.dts
            yield packet
            count += 1
            if packet.stream is not picture or packet.dts is None:
                continue
            time = float(packet.dts * packet.time_base)
            first = time if first is None else first
            if end is not None and time > first + end + SURVEY_SECONDS:
                return
            if not sought and count > FIRST_PACKETS and time < first + start - SURVEY_SECONDS:
                break
        else:
            return
        assert first is not None, "a packet had a time"
        sought = True
        repeated = dict(last)
        with suppress(av.FFmpegError):
            container.seek(
                round((first + start - SURVEY_SECONDS) / picture.time_base), stream=picture
            )
            packets = demux(container, streams)


def _leading_times(durations: Sequence[Fraction], end: Fraction) -> Iterator[tuple[int, Fraction]]:
    """Yield (epoch, time) for frames without a timestamp before the first one with one, at `end`.

    Matroska has no negative times: FFmpeg returns no timestamps for blocks before 0.
    """
    begin = end - sum(durations)
    for duration in durations:
        yield 0, begin
        begin += duration


def _estimate_times(
    shown: Sequence[tuple[int, Fraction]], untimed: Sequence[tuple[int, Fraction]]
) -> Iterator[tuple[int, Fraction]]:
    """Yield (epoch, time) for frames without timestamps: in the gaps between frames with
    timestamps, then after the last of these.

    Elementary streams have no timestamps at all; program streams have one for each of their
    packets, which may contain several frames.
    """
    for epoch in sorted({epoch for epoch, _ in untimed}):
        durations = [duration for own, duration in untimed if own == epoch]
        step, left = Fraction(median(durations)), len(durations)
        known = sorted({time for own, time in shown if own == epoch})
        for before, after in pairwise(known):
            holes = min(left, round((after - before) / step) - 1)
            yield from (
                (epoch, before + hole * (after - before) / (holes + 1))
                for hole in range(1, holes + 1)
            )
            left -= max(0, holes)
        begin = known[-1] + step if known else Fraction(0)
        yield from ((epoch, begin + number * step) for number in range(left))
