"""The content of any frame of a result, in any order.

`plan` goes through a source from its start. Programs that request single frames, such as
VapourSynth, need the content of one frame without those before it; for a source whose frames are
equally long both give the same.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from midframe.errors import OptionError
from midframe.media.reading.frame_rate import SourceRate, exact_rate
from midframe.options import RetimingOptions
from midframe.video.timeline import ConstantRate, VariableRate, choose_timeline, output_times


@dataclass(frozen=True)
class FrameContent:
    """The content of a frame of a result."""

    source: int
    """Number, from 0, of the source frame that is shown, or of the first of the two."""
    t: Fraction
    """Time between the two source frames, at least 0 and below 1; 0 for a source frame."""
    begin: Fraction
    """Time of the frame after the start of the first source frame, in durations of source
    frames."""


class FrameLookup:
    """Finds the content of the frames of a result by their numbers.

    Args:
        frames: number of source frames.
        rate: of the source, in frames per second; None if its frames differ in length.
        options: `factor` or `fps`.
        depth: how often the network can halve the interval between two frames; None if it supports
            any time.

    Raises:
        OptionError: the frames differ in length, and `options` need a constant rate.

    Example:
        >>> lookup = FrameLookup(3, Fraction(24), RetimingOptions(factor=2))
        >>> [(each.source, str(each.t)) for each in map(lookup.content, range(lookup.frames))]
        [(0, '0'), (0, '1/2'), (1, '0'), (1, '1/2'), (2, '0'), (2, '0')]
    """

    def __init__(
        self, frames: int, rate: Fraction | None, options: RetimingOptions, depth: int | None = None
    ) -> None:
        if rate is None:
            _check_variable(options)
        self.source_frames, self.depth = frames, depth
        self.period = 1 / rate if rate else Fraction(1)
        given = exact_rate(rate, Fraction(0)) if rate else _VARIABLE
        timeline = choose_timeline(given, self.period, options)
        assert isinstance(timeline, ConstantRate | VariableRate), "there are no others"
        self.timeline = timeline
        self.frames = self._count()

    @property
    def rate(self) -> Fraction | None:
        """Return the frames per second of the result; None if its frames differ in length."""
        return self.timeline.rate if isinstance(self.timeline, ConstantRate) else None

    def content(self, number: int) -> FrameContent:
        """Return the content of a frame of the result.

        Args:
            number: from 0 to `frames` - 1.
        """
        source = self._source(number)
        before, after = source * self.period, (source + 1) * self.period
        shown = list(output_times(self.timeline, before, after, self.depth))
        chosen = shown[number - self._first(source)] if source < self.last else None
        t = chosen.t if chosen else Fraction(0)
        begin = self._time(number) / self.period - source
        if t == 1:
            return FrameContent(source + 1, Fraction(0), begin - 1)
        return FrameContent(source, t, begin)

    @property
    def last(self) -> int:
        """Return the number of the last source frame, which is held for its duration."""
        return self.source_frames - 1

    def _count(self) -> int:
        if isinstance(self.timeline, VariableRate):
            return self.source_frames * self.timeline.factor
        end = self.timeline.end(self.last * self.period, self.source_frames * self.period)
        return ceil(end / self.timeline.step)

    def _source(self, number: int) -> int:
        return min(int(self._time(number) / self.period), self.last)

    def _first(self, source: int) -> int:
        """Return the number of the first frame of the result at or after a source frame."""
        if isinstance(self.timeline, VariableRate):
            return source * self.timeline.factor
        return ceil(source * self.period / self.timeline.step)

    def _time(self, number: int) -> Fraction:
        if isinstance(self.timeline, VariableRate):
            return Fraction(number, self.timeline.factor)
        return number * self.timeline.step


_VARIABLE = SourceRate(Fraction(1), Fraction(0), False, Fraction(0))
"""A source whose frames differ in length; a unit of time is the duration of a frame."""


def _check_variable(options: RetimingOptions) -> None:
    name = "fps" if options.fps is not None else "factor"
    value = options.fps if options.fps is not None else options.factor
    if options.fps is not None or isinstance(options.factor, Fraction):
        raise OptionError(
            f"`{name}` is {value}, and the frames of the source differ in length: "
            "use a whole `factor`, or give the source a constant frame rate"
        )
