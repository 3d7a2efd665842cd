"""Jumps of the clock in the packets of a source; see `midframe.media.reading.survey`."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from midframe.media.reading.survey import Epoch, Span

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


@dataclass
class StreamClock:
    """State of the survey for one stream."""

    epoch: int = 0
    last: Fraction | None = None
    """Decoding time of its last packet, in seconds of the file's clock."""
    step: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    """Of its last packet, in seconds."""
    epoch_starts: list[tuple[int, int]] = field(default_factory=list)
    """(byte position, epoch) of the first packet of each epoch."""
    spans: dict[int, Span] = field(default_factory=dict)
    """Start and end in each epoch, by the file's clock."""

    def extend(self, begin: Fraction, end: Fraction) -> None:
        """Extend the current epoch by a packet."""
        span = self.spans.get(self.epoch)
        self.spans[self.epoch] = (
            Span(min(span.begin, begin), max(span.end, end)) if span else Span(begin, end)
        )


class ClockJumps:
    """Finds the epochs of a file.

    Args:
        ahead: the clock of this container format may jump ahead.
    """

    def __init__(self, *, ahead: bool) -> None:
        self._ahead = ahead
        self._offsets: list[dict[int, Fraction]] = [{}]
        """By epoch and stream: the offset in seconds that makes a stream continue where its last
        epoch ended."""

    def detect(self, clock: StreamClock, packet: Any) -> None:
        """Detect whether the clock of a stream restarts at a packet, and update its epoch."""
        time = packet.time_base * packet.dts
        if clock.last is not None:
            expected = clock.last + clock.step
            jumps_ahead = self._ahead and time - expected > JUMP_AHEAD
            if time - clock.last < -JUMP_BACK or jumps_ahead:
                self._begin_epoch(clock, packet, expected - time)
        clock.step = (packet.duration or 0) * packet.time_base or clock.step
        clock.last = time

    def _begin_epoch(self, clock: StreamClock, packet: Any, offset: Fraction) -> None:
        """Begin an epoch, or join the one that began when another stream jumped by about the same
        offset."""
        same = (
            epoch
            for epoch in range(clock.epoch + 1, len(self._offsets))
            if any(abs(offset - other) < SAME_JUMP for other in self._offsets[epoch].values())
        )
        clock.epoch = next(same, len(self._offsets))
        if clock.epoch == len(self._offsets):
            self._offsets.append({})
        self._offsets[clock.epoch][packet.stream.index] = offset
        clock.epoch_starts.append((packet.pos or 0, clock.epoch))

    def epochs(self, video_index: int) -> list[Epoch]:
        """Return the epochs with their offsets, without their starts.

        Args:
            video_index: of the video stream. Its offset is used, unless another stream would
                overlap by more than `OVERLAP`.
        """
        epochs = [Epoch()]
        for offsets in self._offsets[1:]:
            largest = max(offsets.values())
            video_offset = offsets.get(video_index, largest)
            chosen = video_offset if largest - video_offset <= OVERLAP else largest
            epochs.append(Epoch(epochs[-1].offset + chosen))
        return epochs
