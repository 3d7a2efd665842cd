"""A pass over the packets of a source before decoding: see `midframe.media.reading.survey`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av

from midframe.media.reading.clock_jumps import ClockJumps, StreamClock
from midframe.media.reading.sound_headers import SoundHeaders
from midframe.media.reading.source import WHOLE_SOURCE, TimeRange
from midframe.media.reading.survey import Epoch, Span, Survey
from midframe.media.reading.video_file import demux, is_encrypted, open_video, read_error

FIRST_PACKETS = 300
"""Number of packets that are read before seeking, to find the start of the video."""
SURVEY_SECONDS = 5
"""Seconds by which a survey extends beyond a time range, since packets are not in presentation
order."""
PRIMING = Fraction(1)
"""Seconds before 0 at which sound may begin (encoder delay), if the video does not, without a
correction of the clock."""


def survey_file(path: Path, index: int, time_range: TimeRange, *, uses_dts: bool) -> Survey:
    """Survey the packets of video and audio in a file: if possible only those near a time range.

    Args:
        path: of the file.
        index: of the video stream.
        time_range: that will be read.
        uses_dts: see `take_survey`.

    Raises:
        VideoError: the file cannot be read.
    """
    try:
        with open_video(path) as container:
            video_stream = container.streams[index]
            jumps = bool(container.format.flags & av.format.Flags.ts_discont.value)
            if time_range == WHOLE_SOURCE or jumps:
                packets = demux(container, [video_stream, *container.streams.audio])
            else:
                start, end = time_range.start, time_range.end
                packets = packets_near(container, video_stream, start, end, seekable=not uses_dts)
            return take_survey(packets, video_stream, uses_dts=uses_dts, clock_jumps=jumps)
    except av.FFmpegError as error:
        raise read_error(path, error) from error


def take_survey(
    packets: Iterable[Any], video_stream: Any, *, uses_dts: bool, clock_jumps: bool
) -> Survey:
    """Survey packets in the order of the file.

    Args:
        packets: of the video and audio streams.
        video_stream: the stream whose frames are read.
        uses_dts: the container has no timestamps: times follow from the decoding order.
        clock_jumps: the clock of this container format may jump ahead.
    """
    survey = _PacketSurvey(video_stream, uses_dts=uses_dts, clock_jumps=clock_jumps)
    for packet in packets:
        survey.add(packet)
    return survey.result()


class _PacketSurvey:
    """Collects the times of packets; arguments as of `take_survey`."""

    def __init__(self, video_stream: Any, *, uses_dts: bool, clock_jumps: bool) -> None:
        self._video_stream = video_stream
        self._uses_dts = uses_dts
        self._jumps = ClockJumps(ahead=clock_jumps)
        self._clocks: dict[int, StreamClock] = {}
        self._headers = SoundHeaders()
        self._times: list[tuple[int, Fraction]] = []
        """(epoch, time by the file's clock) of the video frames."""
        self._missing_times: list[tuple[int, Fraction]] = []
        """(epoch, duration in seconds) of the frames without a timestamp."""
        self._leading_durations: list[Fraction] = []
        """Durations in seconds of the frames without a timestamp before the first one with one."""
        self._frame_count = 0
        self._corrupt_count = 0
        self._delayed = False
        self._encrypted = False

    def add(self, packet: Any) -> None:
        """Add the next packet of the file."""
        is_frame = packet.stream is self._video_stream and packet.size
        if packet.stream is not self._video_stream:
            self._headers.add(packet)
        if is_frame:
            self._encrypted |= not self._frame_count and is_encrypted(packet)
            self._frame_count += 1
            self._corrupt_count += packet.is_corrupt
            self._delayed |= packet.dts is not None and packet.pts not in (None, packet.dts)
        if packet.dts is not None or packet.pts is not None:
            self._add_timed(packet)
        elif is_frame and packet.duration and not packet.is_discard:
            self._add_untimed(packet.duration * packet.time_base)

    def _add_untimed(self, duration: Fraction) -> None:
        clock = self._clocks.get(self._video_stream.index)
        if clock is None:
            self._leading_durations.append(duration)
        else:
            self._missing_times.append((clock.epoch, duration))

    def _add_timed(self, packet: Any) -> None:
        clock = self._clocks.setdefault(packet.stream.index, StreamClock())
        if packet.dts is not None:  # only decoding times rise in the order of the file
            self._jumps.detect(clock, packet)
        decoding = packet.pts is None or (self._uses_dts and packet.dts is not None)
        begin = packet.time_base * (packet.dts if decoding else packet.pts)
        clock.duration = (packet.duration or 0) * packet.time_base
        if packet.is_discard:
            return
        # durations belong to decoding order, so only that of the last video packet is added, later
        is_picture = packet.stream is self._video_stream
        clock.extend(begin, begin if is_picture else begin + clock.duration)
        if is_picture and packet.size:
            self._times.append((clock.epoch, begin))

    def result(self) -> Survey:
        """Return the survey of the packets so far."""
        shown = self._times
        untimed = self._missing_times
        clock = self._clocks.get(self._video_stream.index)
        spans = clock.spans if clock else {}
        if self._leading_durations and 0 in spans:
            shown = [*_leading_times(self._leading_durations, spans[0].begin), *shown]
            spans[0] = replace(spans[0], begin=shown[0][1])
        else:
            untimed = [*((0, duration) for duration in self._leading_durations), *untimed]
        summary = self._summarise([*shown, *_estimate_times(shown, untimed)])
        return replace(
            summary,
            timed=not (untimed or self._leading_durations),
            mostly_corrupt=self._corrupt_count * 2 > self._frame_count,
            rising=all(before <= after for before, after in pairwise(shown)),
            delayed=self._delayed,
            encrypted=self._encrypted,
            changed_sounds=self._headers.changed,
        )

    def _summarise(self, shown: Sequence[tuple[int, Fraction]]) -> Survey:
        """Return the times of frames and streams by a clock that begins at 0 and does not jump."""
        clocks = self._clocks
        video_index = self._video_stream.index
        epochs = self._jumps.epochs(video_index)
        shift = self._find_shift(epochs)
        for number, epoch in enumerate(epochs):
            begins = [
                clock.spans[number].begin for clock in clocks.values() if number in clock.spans
            ]
            epoch.at = min(begins, default=Fraction(0)) + epoch.offset + shift
        spans = self._correct_spans(epochs, shift)
        epoch_starts = {
            index: tuple(clock.epoch_starts)
            for index, clock in clocks.items()
            if clock.epoch_starts
        }
        if video_index in epoch_starts:  # streams that were not surveyed jump with the video
            epoch_starts[-1] = epoch_starts[video_index]
        times = sorted(time + epochs[epoch].offset + shift for epoch, time in shown)
        end = spans[video_index].end if video_index in spans else None
        return Survey(tuple(times), end, shift, epoch_starts, tuple(epochs), spans)

    def _find_shift(self, epochs: Sequence[Epoch]) -> Fraction:
        """Return the seconds to add to all times so that the source begins at 0."""
        begins = {
            index: min(span.begin + epochs[epoch].offset for epoch, span in clock.spans.items())
            for index, clock in self._clocks.items()
            if clock.spans
        }
        start = min(begins.values(), default=Fraction(0))
        video_start = begins.get(self._video_stream.index, start)
        starts_at_zero = -PRIMING <= start <= 0 <= video_start
        return Fraction(0) if starts_at_zero else -start

    def _correct_spans(self, epochs: Sequence[Epoch], shift: Fraction) -> dict[int, Span]:
        """Return start and end of each stream by the corrected clock, by its index."""
        corrected = {}
        for index, clock in self._clocks.items():
            if not clock.spans:
                continue
            offsets = {epoch: epochs[epoch].offset + shift for epoch in clock.spans}
            begin = min(span.begin + offsets[epoch] for epoch, span in clock.spans.items())
            end = max(span.end + offsets[epoch] for epoch, span in clock.spans.items())
            if index == self._video_stream.index:
                end += clock.duration  # of its last packet
            corrected[index] = Span(begin, end)
        return corrected


def packets_near(
    container: Any, video_stream: Any, start: float, end: float | None, *, seekable: bool
) -> Iterator[Any]:
    """Yield packets of the video and audio streams: those near a time range if the container is
    seekable, otherwise all up to its end.

    Args:
        container: at its beginning.
        video_stream: the stream whose frames are read.
        start, end: of the time range, in seconds; None for the end of the file.
        seekable: the container can seek to a time.
    """
    streams = [video_stream, *container.streams.audio]
    packets = demux(container, streams)
    first: float | None = None
    last: dict[int, int] = {}
    """The last decoding time of each stream."""
    repeated: dict[int, int] = {}
    """The last decoding time of each stream before the seek. A seek ends at a key frame, which may
    lie earlier, so packets up to this time may come again."""
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
            if packet.stream is not video_stream or packet.dts is None:
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
                round((first + start - SURVEY_SECONDS) / video_stream.time_base),
                stream=video_stream,
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
    timestamps, then after the last frame with one.

    Elementary streams have no timestamps at all; program streams have one for each of their
    packets, which may contain several frames.
    """
    for epoch in sorted({epoch for epoch, _ in untimed}):
        durations = [duration for own, duration in untimed if own == epoch]
        step = Fraction(median(durations))
        left = len(durations)
        known = sorted({time for own, time in shown if own == epoch})
        for before, after in pairwise(known):
            missing = min(left, round((after - before) / step) - 1)
            for number in range(1, missing + 1):
                yield epoch, before + number * (after - before) / (missing + 1)
            left -= max(0, missing)
        begin = known[-1] + step if known else Fraction(0)
        yield from ((epoch, begin + number * step) for number in range(left))
