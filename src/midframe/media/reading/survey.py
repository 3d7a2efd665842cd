"""The times of the frames of a source and the jumps of its clock, found before anything is decoded.

The clock jumps where transport streams were joined, where broadcast timestamps wrap, and where the
clock of a recorder was set. A jump in one stream begins an epoch; all streams that jump with it
share its offset, so audio and video stay in sync.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

MAX_FRAME_RATE = 10_000
"""Frames per second; higher rates are errors of the file."""
END_MARK_MIN_FRAMES = 3
"""In sources with more frames than this, the time of the last frame is ignored: it may be an end
mark."""


@dataclass(frozen=True)
class Span:
    """Start and end of a stream or of a part of it, in seconds."""

    begin: Fraction
    end: Fraction


@dataclass
class Epoch:
    """A section of the file without a jump of the clock."""

    offset: Fraction = Fraction(0)
    """Seconds to add to its times."""
    at: Fraction = Fraction(0)
    """Its start, in seconds of the corrected clock."""


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
    epoch_starts: Mapping[int, Sequence[tuple[int, int]]]
    """By stream index: (byte position, epoch) of the first packet of each epoch."""
    epochs: Sequence[Epoch]
    spans: Mapping[int, Span]
    """Start and end of each stream by the corrected clock, by its index."""
    mostly_corrupt: bool = False
    """Most video packets are flagged as damaged, so the flag is useless."""
    delayed: bool = False
    """Some video packets have a pts that differs from the dts."""
    rising: bool = False
    """Video timestamps never decrease in decoding order."""
    timed: bool = True
    """Every video packet has a timestamp; otherwise `times` contains estimates for those
    without."""
    encrypted: bool = False
    """The first video packet is encrypted."""
    changed_sounds: frozenset[int] = frozenset()
    """Indices of the audio streams whose codec parameters change."""

    @property
    def has_no_times(self) -> bool:
        """Return whether all frames have nearly the same time, ignoring an end mark."""
        times = self.times[:-1] if len(self.times) > END_MARK_MIN_FRAMES else self.times
        return len(times) > 1 and (times[-1] - times[0]) * MAX_FRAME_RATE < len(times) - 1

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
            epoch_starts = self.epoch_starts.get(index) or self.epoch_starts.get(-1, ())
            if epoch_starts and packet.pos is not None:
                places[index] = max(
                    (epoch for position, epoch in epoch_starts if position <= packet.pos), default=0
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
