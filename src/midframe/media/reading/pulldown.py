"""Even times for film whose frames are shown for three and two fields in turn (3:2 pulldown by
flags, as on DVDs of 60 fields per second).

The flags suit a television. The motion is that of 24 even frames per second, so frames that are
interpolated between uneven times would judder.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from midframe.media.reading.frame_clock import TimedFrame

FIELD = Fraction(1001, 60000)
"""Seconds of a field."""
TOLERANCE = FIELD / 8
"""Seconds by which a step may differ from two or three fields: times in milliseconds, 60 Hz."""
MIN_STEPS = 10
"""Number of alternating steps that count as pulldown."""


def even_times(times: Sequence[Fraction]) -> dict[Fraction, Fraction]:
    """Return the new times of the frames with pulldown, by their old times. They are up to half a
    field later.

    Args:
        times: of all frames, in seconds, in order.
    """
    moved = {}
    for first, last in _alternating_runs(times):
        for number in range(first, last + 1):
            before = times[number] - times[number - 1] if number > first else None
            after = times[number + 1] - times[number] if number < last else None
            # beyond its ends, the pattern of a run continues
            before = times[number + 2] - times[number + 1] if before is None else before
            after = times[number - 1] - times[number - 2] if after is None else after
            moved[times[number]] = times[number] + (after - before + FIELD) / 4
    return moved


def _alternating_runs(times: Sequence[Fraction]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last frame of each run of steps of two and three fields in turn."""
    first = 0
    previous = 0
    for number in range(1, len(times)):
        fields = _fields(times[number] - times[number - 1])
        if not fields or fields == previous:
            if number - 1 - first >= MIN_STEPS:
                yield first, number - 1
            first = number - 1 if fields else number
        previous = fields
    if len(times) - 1 - first >= MIN_STEPS:
        yield first, len(times) - 1


def _fields(step: Fraction) -> int:
    """Return whether a step lasts two or three fields; 0 for neither."""
    return next((count for count in (2, 3) if abs(step - count * FIELD) <= TOLERANCE), 0)


def move_frames(
    frames: Iterable[TimedFrame], moved: Mapping[Fraction, Fraction], time_base: Fraction
) -> Iterator[TimedFrame]:
    """Yield frames at their new times, with their old ends.

    Args:
        frames: as they are decoded.
        moved: see `even_times`.
        time_base: of the frames' pts, in seconds.
    """
    for picture, pts, duration in frames:
        time = moved.get(pts * time_base)
        if time is None:
            yield picture, pts, duration
            continue
        begin = time / time_base
        yield picture, begin, max(Fraction(0), pts + duration - begin)
