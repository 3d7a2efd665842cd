"""Selection of the frames in the requested time range of a source."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from midframe.errors import SourceError
from midframe.media.reading.frame_clock import TimedFrame
from midframe.media.reading.frame_converter import FrameConverter
from midframe.media.reading.scenes import CutDetector
from midframe.media.reading.source import Frame, TimeRange
from midframe.media.reading.thumbnails import ThumbnailList, make_thumbnail


class TimeRangeSelector:
    """Selects the frames of a time range of a source, counts them and records their thumbnails.

    Args:
        path: of the source, for messages.
        time_range: to select.
        start: time of the first frame of the source, in seconds.
        time_base: of the frames' pts.
        cut_threshold: as in `VideoReader`.
    """

    def __init__(
        self,
        path: Path,
        time_range: TimeRange,
        start: Fraction,
        time_base: Fraction,
        cut_threshold: float | None,
    ) -> None:
        self.path = path
        self.time_range = time_range
        self.time_base = time_base
        self.cut_threshold = cut_threshold
        self.begin = start + Fraction(str(time_range.start))
        """Start of the time range, in seconds."""
        self.until = None if time_range.end is None else start + Fraction(str(time_range.end))
        """End of the time range, in seconds; None for the end of the source."""
        begins_at_tick = (start / time_base).denominator == 1
        self._rounding = Fraction(0) if begins_at_tick else time_base / 2
        """Seconds by which frames may come before their time: whole ticks of a clock that begins
        between two ticks are rounded."""
        self.frames_read = 0
        self.thumbnails = ThumbnailList()

    def within(self, times: Iterable[Fraction]) -> list[Fraction]:
        """Return the times that lie in the time range."""
        return [
            time
            for time in times
            if self.begin <= time and (self.until is None or time < self.until)
        ]

    def frames(
        self,
        pictures: Iterable[TimedFrame],
        converter: FrameConverter,
        frame_duration: int,
        check_end: Callable[[int | Fraction | None], None],
    ) -> Iterator[Frame]:
        """Yield the frames of the time range, in the common size and pixel format.

        Args:
            pictures: of the source, starting before the time range. All of them pass the cut
                detector, which compares successive frames.
            converter: crops, rotates and scales them.
            frame_duration: of frames without a duration, in the time base.
            check_end: called with the end of the last frame as pts (None if there was no frame), if
                the time range extends to the end of the source.

        Raises:
            SourceError: the time range has no frame.
        """
        cuts = CutDetector(self.cut_threshold) if self.cut_threshold else None
        end: int | Fraction | None = None
        for picture, pts, duration in pictures:
            end = pts + (duration or frame_duration)
            time = Fraction(pts * self.time_base)
            if self.until is not None and time >= self.until - self._rounding:
                break
            begins_scene = bool(cuts and cuts.begins_scene(picture))
            if time >= self.begin - self._rounding:
                self.frames_read += 1
                converted = converter.convert(picture)
                self.thumbnails.append(time, make_thumbnail(converted))
                yield Frame(converted, pts, begins_scene, duration)
        else:
            check_end(end)
        if not self.frames_read:
            raise SourceError(f"{self.path} has no frame {self._describe_range()}")

    def _describe_range(self) -> str:
        """Describe a time range without a frame, and the remedy."""
        start, end = self.time_range.start, self.time_range.end
        if end is None:
            return f"from {start:.12g} s on: choose an earlier --start"
        return f"from {start:.12g} to {end:.12g} s: choose an earlier --start or a later --end"
