"""From source frames, one after another, to the frames of the result."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import av
import numpy as np

from midframe.errors import VideoError
from midframe.images import Array
from midframe.interpolator import Interpolator
from midframe.video.colour import Colour, from_rgb, to_rgb
from midframe.video.reader import Frame, VideoReader
from midframe.video.report import VideoReport
from midframe.video.timeline import Shown, Timeline, shown_between

CUTS = ("hold", "nearest", "blend")
"""What may be shown across a cut."""
DEFAULT_CUT = "hold"


Progress = Callable[[float, int | None], None]
"""Called with how many source frames are done, with a fraction while frames are made after one, and how many there are,
if known."""


@dataclass(frozen=True)
class Output:
    """A picture on its way to the encoder, with its pts in the writer's time base."""

    picture: av.VideoFrame
    pts: int


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
    """Turns source frames, one after another, into the frames to show."""

    def __init__(
        self,
        tool: Interpolator,
        colour: Colour,
        pixel_format: str,
        timeline: Timeline,
        cut: str,
        reader: VideoReader,
        report: VideoReport,
        progress: Progress | None,
    ) -> None:
        self.tool, self.colour, self.pixel_format, self.timeline, self.cut = tool, colour, pixel_format, timeline, cut
        self.reader, self.report, self.progress = reader, report, progress
        self.origin = Fraction(0)
        self.before: Source | None = None

    def frames_for(self, frame: Frame) -> Iterator[Output]:
        """What is shown from the frame before up to this one."""
        after = Source(frame, self.reader, self.colour)
        if self.before:
            sizes = [(each.picture.height, each.picture.width) for each in (self.before, after)]
            if sizes[0] != sizes[1]:
                raise VideoError(f"{self.reader.path} changes its size on the way: cut it there and convert the parts")
            yield from self._between(self.before, after)
        else:
            self.origin = after.time
        self.before = after
        self.report.frames_in += 1
        self._tell(0)

    def closing_frames(self) -> Iterator[Output]:
        """What is shown from the last frame up to its end: the frame itself."""
        if self.before:
            self.report.length_in = (self.before.end - self.origin) * self.timeline.slow
            ending = (self.origin, self.before.time, self.before.end)
            for shown in shown_between(self.timeline, *ending, self.tool.depth):
                yield self._as_it_is(self.before, shown)

    def _tell(self, share: float) -> None:
        if self.progress:
            self.progress(self.report.frames_in + share, self.reader.expected_frames)

    def _between(self, before: Source, after: Source) -> Iterator[Output]:
        shown = list(shown_between(self.timeline, self.origin, before.time, after.time, self.tool.depth))
        if after.begins_scene:
            self.report.cuts += 1
            shown = [self._across_cut(each) for each in shown]
        else:
            self.report.worst_error = max([self.report.worst_error, *(each.error for each in shown)])
        made = self._made(before, after, [each.share for each in shown if 0 < each.share < 1])
        for each in shown:
            if 0 < each.share < 1:
                self.report.frames_made += 1
                yield Output(from_rgb(made[each.share], self.colour, self.pixel_format), each.pts)
            else:
                yield self._as_it_is(after if each.share else before, each)

    def _across_cut(self, shown: Shown) -> Shown:
        kept = {"hold": Fraction(int(shown.share)), "nearest": Fraction(round(shown.share)), "blend": shown.share}
        return replace(shown, share=kept[self.cut])

    def _made(self, before: Source, after: Source, times: list[Fraction]) -> dict[Fraction, Array]:
        if after.begins_scene:
            return {time: _blended(before.rgb, after.rgb, time) for time in times}
        if not times:
            return {}
        made = self.tool.interpolate_many(before.rgb, after.rgb, times, progress=self._tell)
        return dict(zip(times, made, strict=True))

    def _as_it_is(self, source: Source, shown: Shown) -> Output:
        if source.shown:
            self.report.frames_held += 1
        else:
            self.report.frames_kept += 1
        source.shown = True
        return Output(source.picture, shown.pts)


def _blended(before: Array, after: Array, share: Fraction) -> Array:
    mixed: Array = np.rint(before * float(1 - share) + after * float(share)).astype(before.dtype)
    return mixed
