"""A pass over the packets of a source before decoding: the times of its frames, and jumps of its
clock.

The clock jumps where transport streams were joined, where broadcast timestamps wrap, and where the
clock of a recorder was set. A jump in one stream begins an epoch; all streams that jump with it
share its offset, so audio and video stay in sync.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

import av

from midframe.media.reading.sound_headers import SoundHeaders
from midframe.media.reading.video_file import demux

FIRST_PACKETS = 300
"""Number of packets that are read before seeking, to find the start of the video."""
SURVEY_SECONDS = 5
"""Seconds by which a survey extends beyond a time range, since packets are not in presentation
order."""
FASTEST = 10_000
"""Frames per second; higher rates are errors of the file."""
MIN_STAMPS = 3
"""In sources with more frames than this, the time of the last frame is ignored: it may be an end
mark."""
JUMP_BACK = Fraction(3, 10)
"""Minimum decrease of decoding times, in seconds, at a restart of the clock; smaller ones are
disordered timestamps."""
JUMP_AHEAD = Fraction(10)
"""Minimum increase in seconds at a restart, in containers whose clock may jump; smaller ones, and
those in other containers, are gaps."""
SAME_JUMP = Fraction(2)
"""Largest difference in seconds between the offsets of two streams at the same jump."""
OVERLAP = Fraction(1, 10)
"""Seconds by which sound may overlap at a jump so that the video has no gap."""
PRIMING = Fraction(1)
"""Seconds before 0 at which sound may begin (encoder delay), if the video does not, without a
correction of the clock."""


@dataclass(frozen=True)
class Span:
    """Start and end of a stream, in seconds of the corrected clock."""

    begin: Fraction
    end: Fraction


@dataclass
class Epoch:
    """A section of the file without a jump of the clock."""

    offset: Fraction = Fraction(0)
    """Seconds to add to its times."""
    at: Fraction = Fraction(0)
    """Its start, in seconds of the corrected clock."""


@dataclass
class _Stream:
    """State of the survey for one stream."""

    epoch: int = 0
    last: Fraction | None = None
    """Decoding time of its last packet, in seconds of the file's clock."""
    step: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    """Of its last packet, in seconds."""
    entered: list[tuple[int, int]] = field(default_factory=list)
    """(byte position, epoch) of the first packet of each epoch."""
    edges: dict[int, Span] = field(default_factory=dict)
    """Start and end in each epoch, by the file's clock."""


@dataclass(frozen=True)
class Survey:
    """The times in the packets of a source, in seconds of a corrected clock: the source begins at
    0."""

    times: tuple[Fraction, ...]
    """Times of the video frames, in order."""
    end: Fraction | None
    """End of the last frame; None if nothing was surveyed."""
    shift: Fraction
    """Seconds that are added to all times so that the source begins at 0."""
    entered: Mapping[int, Sequence[tuple[int, int]]]
    """By stream index: (byte position, epoch) of the first packet of each epoch."""
    epochs: Sequence[Epoch]
    spans: Mapping[int, Span]
    """Start and end of each stream, by its index."""
    mostly_corrupt: bool = False
    """Most video packets are flagged as damaged, so the flag is useless."""
    delayed: bool = False
    """Some video packets have a pts that differs from the dts."""
    rising: bool = False
    """Video timestamps never decrease in decoding order."""
    timed: bool = True
    """Every video packet has a timestamp; otherwise `times` contains estimates for those
    without."""
    changed_sounds: frozenset[int] = frozenset()
    """Indices of the audio streams whose codec parameters change."""

    @property
    def has_no_times(self) -> bool:
        """Return whether all frames have nearly the same time, ignoring an end mark."""
        times = self.times[:-1] if len(self.times) > MIN_STAMPS else self.times
        return len(times) > 1 and (times[-1] - times[0]) * FASTEST < len(times) - 1

    @property
    def jumps(self) -> tuple[Fraction, ...]:
        """Return the times at which the clock restarts."""
        return tuple(epoch.at for epoch in self.epochs[1:])

    def correct_times(self, packets: Iterable[Any]) -> Iterator[Any]:
        """Yield packets, read from the beginning of the file or by seeking, with corrected
        times."""
        places: dict[int, int] = {}
        for packet in packets:
            index = packet.stream.index
            entered = self.entered.get(index) or self.entered.get(-1, ())
            if entered and packet.pos is not None:
                places[index] = max(
                    (epoch for position, epoch in entered if position <= packet.pos), default=0
                )
            offset = self.shift + self.epochs[places.get(index, 0)].offset
            if offset and packet.time_base:
                ticks = round(offset / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


EMPTY = Survey((), None, Fraction(0), {}, (Epoch(),), {})
"""The survey of a source that can be read only once, without times."""


def with_even_times(survey: Survey, rate: Fraction) -> Survey:
    """Return the survey with frames at equal steps, for a source without usable times."""
    first = survey.times[0]
    times = tuple(first + number / rate for number in range(len(survey.times)))
    return replace(survey, times=times, end=times[-1] + 1 / rate, timed=False)


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
    streams: dict[int, _Stream] = {}
    needed: list[dict[int, Fraction]] = [{}]
    """By epoch and stream: the offset in seconds that makes a stream continue where its last epoch
    ended."""
    shown: list[tuple[int, Fraction]] = []
    """(epoch, time by the file's clock) of the video frames."""
    untimed: list[tuple[int, Fraction]] = []
    """(epoch, duration in seconds) of the frames without a timestamp."""
    leading: list[Fraction] = []
    """Durations in seconds of the frames without a timestamp before the first one with one."""
    total = 0
    flagged = 0
    delayed = False
    headers = SoundHeaders()
    for packet in packets:
        if packet.stream is not picture:
            headers.add(packet)
        if packet.stream is picture and packet.size:
            total += 1
            flagged += packet.is_corrupt
            delayed = delayed or (packet.dts is not None and packet.pts not in (None, packet.dts))
        timestamp = packet.dts if packet.dts is not None else packet.pts
        if timestamp is None:
            if (
                packet.stream is picture
                and packet.size
                and packet.duration
                and not packet.is_discard
            ):
                if picture.index not in streams:
                    leading.append(packet.duration * packet.time_base)
                    continue
                untimed.append((streams[picture.index].epoch, packet.duration * packet.time_base))
            continue
        stream = streams.setdefault(packet.stream.index, _Stream())
        if packet.dts is not None:  # only decoding times rise in the order of the file
            _detect_jump(
                stream, packet, packet.time_base * packet.dts, needed, clock_jumps=clock_jumps
            )
        begin = packet.time_base * (timestamp if counted or packet.pts is None else packet.pts)
        stream.duration = (packet.duration or 0) * packet.time_base
        # durations belong to decoding order, so only that of the last video packet is added, later
        end = begin if packet.stream is picture else begin + stream.duration
        edge = stream.edges.get(stream.epoch)
        if packet.is_discard:
            continue
        stream.edges[stream.epoch] = (
            Span(min(edge.begin, begin), max(edge.end, end)) if edge else Span(begin, end)
        )
        if packet.stream is picture and packet.size:
            shown.append((stream.epoch, begin))
    edges = streams[picture.index].edges if picture.index in streams else {}
    if leading and 0 in edges:
        shown = [*_leading_times(leading, edges[0].begin), *shown]
        edges[0] = replace(edges[0], begin=shown[0][1])
    else:
        untimed = [*((0, duration) for duration in leading), *untimed]
    summary = _summarise(streams, needed, [*shown, *_estimate_times(shown, untimed)], picture.index)
    rising = all(before <= after for before, after in pairwise(shown))
    facts: dict[str, Any] = {
        "timed": not (untimed or leading),
        "mostly_corrupt": flagged * 2 > total,
        "rising": rising,
        "delayed": delayed,
        "changed_sounds": headers.changed,
    }
    return replace(summary, **facts)


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
    count = 0
    sought = start <= SURVEY_SECONDS or not seekable
    while True:
        for packet in packets:
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


def _detect_jump(
    stream: _Stream,
    packet: Any,
    time: Fraction,
    needed: list[dict[int, Fraction]],
    *,
    clock_jumps: bool,
) -> None:
    """Detect whether the clock of a stream restarts at a packet, and update its epoch."""
    if stream.last is not None:
        expected = stream.last + stream.step
        if time - stream.last < -JUMP_BACK or (clock_jumps and time - expected > JUMP_AHEAD):
            offset = expected - time
            later = range(stream.epoch + 1, len(needed))
            same = (
                each
                for each in later
                if any(abs(offset - other) < SAME_JUMP for other in needed[each].values())
            )
            stream.epoch = next(same, len(needed))
            if stream.epoch == len(needed):
                needed.append({})
            needed[stream.epoch][packet.stream.index] = offset
            stream.entered.append((packet.pos or 0, stream.epoch))
    stream.step = (packet.duration or 0) * packet.time_base or stream.step
    stream.last = time


def _summarise(
    streams: Mapping[int, _Stream],
    needed: Sequence[Mapping[int, Fraction]],
    shown: Sequence[tuple[int, Fraction]],
    picture: int,
) -> Survey:
    epochs = [Epoch()]
    for offsets in needed[1:]:
        most = max(offsets.values())
        wanted = offsets.get(picture, most)
        epochs.append(Epoch(epochs[-1].offset + (wanted if most - wanted <= OVERLAP else most)))
    all_begins = [
        edge.begin + epochs[epoch].offset
        for stream in streams.values()
        for epoch, edge in stream.edges.items()
    ]
    start = min(all_begins, default=Fraction(0))
    own = streams[picture].edges if picture in streams else {}
    first = min((span.begin + epochs[epoch].offset for epoch, span in own.items()), default=start)
    shift = -start if start > 0 or start < -PRIMING or first < 0 else Fraction(0)
    spans = {}
    for index, stream in streams.items():
        edges = [(edge, epochs[epoch].offset + shift) for epoch, edge in stream.edges.items()]
        if edges:
            begin = min(edge.begin + offset for edge, offset in edges)
            end = max(edge.end + offset for edge, offset in edges)
            spans[index] = Span(begin, end + stream.duration if index == picture else end)
    for number, epoch in enumerate(epochs):
        firsts = [
            stream.edges[number].begin for stream in streams.values() if number in stream.edges
        ]
        epoch.at = min(firsts, default=Fraction(0)) + epoch.offset + shift
    entered = {index: tuple(stream.entered) for index, stream in streams.items() if stream.entered}
    if picture in entered:
        entered[-1] = entered[picture]  # streams that were not surveyed jump with the picture
    times = sorted(time + epochs[epoch].offset + shift for epoch, time in shown)
    last = spans[picture].end if picture in spans else None
    return Survey(tuple(times), last, shift, entered, tuple(epochs), spans)
