"""From source frames, one after another, to the frames of the result."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import av

from midframe.errors import SourceError
from midframe.images import Array, blended
from midframe.interpolator import Interpolator
from midframe.video.colour import Colour, to_rgb
from midframe.video.overlays import OverlayFinder, keep_overlays
from midframe.video.reader import WHOLE, Frame, VideoReader
from midframe.video.report import VideoReport
from midframe.video.timeline import Shown, Timeline, shown_between
from midframe.video.work import LONG_SEGMENT, SHORT_SEGMENT

CUTS = ("hold", "nearest", "blend")
"""What may be shown across a cut."""
DEFAULT_CUT = "hold"
STILL_STEPS, STILL_SECONDS = 8, Fraction(1, 2)
"""A frame that is shown for longer than so many usual steps, and than so long, stood still: screens are recorded where
they change."""
LONGEST_GAP = 600
"""Seconds without a frame that only a damaged film has."""


Progress = Callable[[float, float | None], None]
"""Called with how many source frames are done, with a fraction while frames are made after one, and how many there are,
if known."""


@dataclass(frozen=True)
class Output:
    """A picture on its way to the encoder."""

    picture: av.VideoFrame | Array
    """A source frame as it was decoded, or RGB that was made."""
    pts: int
    """When it is shown, in the time base of the timeline."""
    segment: int
    """Which segment of the work it belongs to, from 0."""


class Source:
    """A source frame, with its colours once they are asked for."""

    def __init__(self, frame: Frame, reader: VideoReader, colour: Colour) -> None:
        self.picture, self.begins_scene, self.colour = frame.picture, frame.begins_scene, colour
        self.time = frame.pts * reader.time_base
        self.end = self.time + (frame.picture.duration or reader.frame_duration) * reader.time_base
        self.shown = False

    @cached_property
    def rgb(self) -> Array:
        return to_rgb(self.picture, self.colour)


class Retimer:
    """Turns source frames, one after another, into the frames to show.

    Args:
        tool: makes frames.
        colour: how the source's samples stand for colours.
        timeline: when frames are shown.
        cut: what is shown across a cut, of `CUTS`.
        reader: the source.
        report: told what becomes of every frame.
        overlays: keep what stands still before a moving picture as it is.
        finished: segments that exist already: of their frames none is made or given out, only counted.
        progress: told how far the work is.
    """

    def __init__(
        self,
        tool: Interpolator,
        colour: Colour,
        timeline: Timeline,
        cut: str,
        reader: VideoReader,
        report: VideoReport,
        *,
        overlays: bool = True,
        finished: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.tool, self.colour, self.timeline, self.cut = tool, colour, timeline, cut
        self.reader, self.report, self.progress = reader, report, progress
        self.finder = OverlayFinder() if overlays else None
        self.finished, self.segment, self._segment_begin = finished, 0, 0
        self.origin = self.end = Fraction(0)
        """When the first source frame is shown and when the last no longer is, in seconds of the source."""
        self.before: Source | None = None

    @property
    def shift(self) -> int:
        """What of a part's time does not count in the result, in the time base of the timeline."""
        part = self.origin * self.timeline.slow / self.timeline.time_base
        return 0 if self.reader.part == WHOLE else round(part)

    @property
    def end_pts(self) -> int:
        """When the last frame of the result is no longer shown, in the time base of the timeline."""
        return round(self.end * self.timeline.slow / self.timeline.time_base) - self.shift

    def frames_for(self, frame: Frame) -> Iterator[Output]:
        """What is shown from the frame before up to this one."""
        after = Source(frame, self.reader, self.colour)
        if self.before:
            sizes = [(each.picture.height, each.picture.width) for each in (self.before, after)]
            if sizes[0] != sizes[1]:
                raise SourceError(f"{self.reader.path} changes its size on the way: cut it there and convert the parts")
            yield from self._between(self.before, after)
            self._end_segment(at_cut=after.begins_scene)
        else:
            self.origin = after.time
        self.before = after
        self.report.frames_in += 1
        self._tell(0)

    def closing_frames(self) -> Iterator[Output]:
        """What is shown from the last frame up to its end: the frame itself."""
        if self.before:
            self.end = self.before.end
            self.report.length_in = (self.end - self.origin) * self.timeline.slow
            ending = (self.origin, self.before.time, self.end)
            for shown in shown_between(self.timeline, *ending, self.tool.depth):
                yield from self._as_it_is(self.before, shown)

    def _tell(self, share: float) -> None:
        if self.progress:
            self.progress(self.report.frames_in + share, self.reader.expected_frames)

    def _end_segment(self, *, at_cut: bool) -> None:
        if self.report.frames_out - self._segment_begin >= (SHORT_SEGMENT if at_cut else LONG_SEGMENT):
            self.segment, self._segment_begin = self.segment + 1, self.report.frames_out

    def _between(self, before: Source, after: Source) -> Iterator[Output]:
        if after.time - before.time > LONGEST_GAP:
            raise SourceError(
                f"{self.reader.path} is damaged at {float(before.time):.2f} s: the next frame is to be shown "
                f"{float(after.time - before.time):.0f} s later"
            )
        shown = list(shown_between(self.timeline, self.origin, before.time, after.time, self.tool.depth))
        if self.finder:
            self.finder.see(before.picture, after.picture, cut=after.begins_scene)
        if after.begins_scene:
            self.report.cuts += 1
            shown = [self._across_cut(each) for each in shown]
        elif self._stood_still(before, after):
            self.report.gaps += 1
            shown = [replace(each, share=Fraction(0)) for each in shown]
        else:
            self.report.worst_error = max([self.report.worst_error, *(each.error for each in shown)])
        made = self._made(before, after, [each.share for each in shown if 0 < each.share < 1])
        for each in shown:
            if each.share in (0, 1):
                yield from self._as_it_is(after if each.share else before, each)
            else:
                self.report.frames_made += 1
                if made:
                    yield self._output(made[each.share], each)

    def _stood_still(self, before: Source, after: Source) -> bool:
        length = after.time - before.time
        return length > STILL_SECONDS and length > STILL_STEPS / self.reader.rate

    def _across_cut(self, shown: Shown) -> Shown:
        kept = {"hold": Fraction(int(shown.share)), "nearest": Fraction(round(shown.share)), "blend": shown.share}
        return replace(shown, share=kept[self.cut])

    def _made(self, before: Source, after: Source, times: list[Fraction]) -> dict[Fraction, Array]:
        """The frames at some times; none where their segment is finished."""
        if not times or self.segment < self.finished:
            return {}
        if after.begins_scene:
            return {time: blended(before.rgb, after.rgb, time) for time in times}
        made = dict(
            zip(times, self.tool.interpolate_many(before.rgb, after.rgb, times, progress=self._tell), strict=True)
        )
        if self.finder and (still := self.finder.overlays()) is not None:
            made = {time: keep_overlays(each, before.rgb, after.rgb, time, still) for time, each in made.items()}
        return made

    def _as_it_is(self, source: Source, shown: Shown) -> Iterator[Output]:
        if source.shown:
            self.report.frames_held += 1
        else:
            self.report.frames_kept += 1
        source.shown = True
        if self.segment >= self.finished:
            yield self._output(source.picture, shown)

    def _output(self, picture: av.VideoFrame | Array, shown: Shown) -> Output:
        return Output(picture, shown.pts - self.shift, self.segment)
