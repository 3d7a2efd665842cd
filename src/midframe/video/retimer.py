"""From source frames, one after another, to the frames of the result."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import av

from midframe.interpolator import Interpolator
from midframe.ops.workers import Workers
from midframe.options import CutMode
from midframe.video.colour import Colour
from midframe.video.overlays import OverlayFinder
from midframe.video.reader import WHOLE, Frame, VideoReader
from midframe.video.report import VideoReport
from midframe.video.samples import Samples, blended_frame, interpolated_frame
from midframe.video.side_data import CAPTIONS, side_data_of, without_side_data
from midframe.video.timeline import Shown, Timeline, shown_between
from midframe.video.work import LONG_SEGMENT, SHORT_SEGMENT

STILL_STEPS, STILL_SECONDS = 8, Fraction(1, 2)
"""A frame that is shown for longer than so many usual steps, and than so long, stood still: screens are recorded where
they change."""
MOST_TOGETHER = 8
"""Of the frames between two others, so many one of several workers makes at a time: memory need not hold all."""
Progress = Callable[[float, float | None], None]
"""Called with how many source frames are done, with a fraction while frames are made after one, and how many there are,
if known."""


Made = dict[Fraction, av.VideoFrame]
"""Frames by their time, as a share of the way between two others."""


@dataclass(frozen=True)
class Output:
    """A picture on its way to the encoder."""

    picture: av.VideoFrame
    """A source frame as it was decoded, or an interpolated frame, whose samples stand for colours as those do."""
    pts: int
    """When it is shown, in the time base of the timeline."""
    segment: int
    """Which segment of the work it belongs to, from 0."""
    captions: av.VideoFrame | None = None
    """A source frame whose closed captions are shown with the picture."""

    def output(self) -> "Output":
        """Itself: there is nothing to wait for."""
        return self


@dataclass(frozen=True)
class Pending:
    """A frame of the result that a worker makes."""

    made: Future[Made]
    """With the others between two source frames."""
    share: Fraction
    pts: int
    segment: int
    captions: av.VideoFrame | None = None

    def output(self) -> Output:
        """Wait for it."""
        return Output(self.made.result()[self.share], self.pts, self.segment, self.captions)


class Source:
    """A source frame, with its samples once they are asked for."""

    def __init__(self, frame: Frame, reader: VideoReader, colour: Colour, timeline: Timeline) -> None:
        self.picture, self.begins_scene, self.colour = frame.picture, frame.begins_scene, colour
        self.own_time = frame.pts * reader.time_base
        """When the source shows it, in seconds."""
        self.time = timeline.place(self.own_time)
        """When the timeline places it, in seconds of the source."""
        self.end = self.own_time + (frame.duration or reader.frame_duration) * reader.time_base
        self.captions = frame.picture if CAPTIONS in side_data_of(frame.picture) else None
        self.shown = False

    @cached_property
    def samples(self) -> Samples:
        return Samples(self.picture, self.colour)


class Retimer:
    """Turns source frames, one after another, into the frames to show; a few pairs of them are made at a time.

    Args:
        workers: make frames; where there is one alone, this thread does.
        tool: makes frames.
        colour: how the source's samples stand for colours.
        timeline: when frames are shown.
        cut: what is shown across a cut, as in `RetimingOptions`.
        reader: the source.
        report: told what becomes of every frame.
        overlays: keep what stands still as it is, before a moving picture or not.
        finished: segments that exist already: of their frames none is made or given out, only counted.
        progress: told how far the work is.
    """

    def __init__(
        self,
        workers: Workers,
        tool: Interpolator,
        colour: Colour,
        timeline: Timeline,
        cut: CutMode,
        reader: VideoReader,
        report: VideoReport,
        *,
        overlays: bool = True,
        finished: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.workers, self.tool, self.colour, self.timeline, self.cut = workers, tool, colour, timeline, cut
        self.reader, self.report, self.progress = reader, report, progress
        self.finder = OverlayFinder() if overlays else None
        self.finished, self.segment, self._segment_begin = finished, 0, 0
        self.origin = self.end = Fraction(0)
        """When the first source frame is shown and when the last no longer is, in seconds of the source."""
        self.first_time = self.own_end = Fraction(0)
        """When the source itself shows its first frame and when its last no longer."""
        self.before: Source | None = None
        self.captions = deque[av.VideoFrame]()
        """Source frames whose closed captions are still to be shown."""

    @property
    def shift(self) -> int:
        """What of a part's time does not count in the result, in the time base of the timeline."""
        part = self.origin * self.timeline.slow / self.timeline.time_base
        return 0 if self.reader.part == WHOLE else round(part)

    @property
    def end_pts(self) -> int:
        """When the last frame of the result is no longer shown, in the time base of the timeline."""
        return round(self.end * self.timeline.slow / self.timeline.time_base) - self.shift

    def frames(self, frames: Iterable[Frame]) -> Iterator[Output]:
        """What is shown from the first frame to the end of the last."""
        waiting = deque[Output | Pending]()
        for each in self._all(frames):
            waiting.append(each)
            while waiting and self._must_go(waiting):
                yield waiting.popleft().output()
        yield from (each.output() for each in waiting)

    def _all(self, frames: Iterable[Frame]) -> Iterator[Output | Pending]:
        """The same, some of it still being made."""
        for frame in frames:
            yield from self._frames_for(frame)
        yield from self._closing_frames()

    def _must_go(self, waiting: deque[Output | Pending]) -> bool:
        """Whether the first is to be waited for: it is there, or more jobs are under way than there are workers."""
        first, jobs = waiting[0], {each.made for each in waiting if isinstance(each, Pending)}
        return isinstance(first, Output) or first.made.done() or len(jobs) > self.workers.number

    def _frames_for(self, frame: Frame) -> Iterator[Output | Pending]:
        """What is shown from the frame before up to this one."""
        after = Source(frame, self.reader, self.colour, self.timeline)
        self.report.worst_error = max(self.report.worst_error, abs(after.time - after.own_time) * self.timeline.slow)
        if self.before:
            after.time = max(after.time, self.before.time)
            yield from self._between(self.before, after)
            self._end_segment(at_cut=after.begins_scene)
        else:
            self.origin, self.first_time = after.time, after.own_time
        self.before = after
        self.report.frames_in += 1
        self._tell(0)

    def _closing_frames(self) -> Iterator[Output]:
        """What is shown from the last frame up to its end: the frame itself."""
        if self.before:
            self.own_end = max(self.before.end, self.reader.end or Fraction(0))
            self.end = self.timeline.end(self.before.time, self.own_end)
            self.report.length_in = (self.own_end - self.first_time) * self.timeline.slow
            for shown in shown_between(self.timeline, self.before.time, self.end, self.tool.depth):
                yield from self._as_it_is(self.before, shown)

    def _tell(self, share: float) -> None:
        if self.progress:
            self.progress(self.report.frames_in + share, self.reader.expected_frames)

    def _end_segment(self, *, at_cut: bool) -> None:
        if self.report.frames_out - self._segment_begin >= (SHORT_SEGMENT if at_cut else LONG_SEGMENT):
            self.segment, self._segment_begin = self.segment + 1, self.report.frames_out

    def _between(self, before: Source, after: Source) -> Iterator[Output | Pending]:
        shown = list(shown_between(self.timeline, before.time, after.time, self.tool.depth))
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
        if before.captions and not before.shown and all(each.share for each in shown):
            self.captions.append(before.captions)  # the frame itself is not shown
        wanted = [each.share for each in shown if 0 < each.share < 1]
        together = MOST_TOGETHER if self.workers.number > 1 else max(1, len(wanted))
        pair = (before.samples, after.samples) if wanted and self.segment >= self.finished else None
        made, number = None, 0
        for each in shown:
            if each.share in (0, 1):
                yield from self._as_it_is(after if each.share else before, each)
                continue
            self.report.frames_made += 1
            if pair and number % together == 0:
                made = self._made(*pair, wanted[number : number + together], at_cut=after.begins_scene)
            captions = self._waiting_captions()
            if made:
                yield Pending(made, each.share, *self._place(each), captions)
            number += 1

    def _stood_still(self, before: Source, after: Source) -> bool:
        length = after.time - before.time
        return length > STILL_SECONDS and length > STILL_STEPS / self.reader.rate

    def _across_cut(self, shown: Shown) -> Shown:
        kept = {"hold": Fraction(int(shown.share)), "nearest": Fraction(round(shown.share)), "blend": shown.share}
        return replace(shown, share=kept[self.cut])

    def _made(self, first: Samples, second: Samples, times: list[Fraction], *, at_cut: bool) -> Future[Made]:
        """The frames at some times between two, once they are made."""
        if at_cut:
            return at_once(lambda: {time: blended_frame(first, second, time) for time in times})
        options: dict[str, Any] = {"still": self.finder is not None}
        options["overlays"] = self.finder.overlays() if self.finder else None

        def make(tell: Callable[[float], None] | None = None) -> Made:
            images = self.tool.interpolate_many(first.rgb, second.rgb, times, progress=tell)
            each = zip(times, images, strict=True)
            return {time: interpolated_frame(image, first, second, time, **options) for time, image in each}

        if self.workers.number > 1:
            return self.workers.submit(make)
        return at_once(lambda: make(self._tell))

    def _as_it_is(self, source: Source, shown: Shown) -> Iterator[Output]:
        if source.shown:
            self.report.frames_held += 1
        else:
            self.report.frames_kept += 1
        first_time, source.shown = not source.shown, True
        if first_time and source.captions:
            self.captions.append(source.captions)
        captions = self._waiting_captions()
        if self.segment >= self.finished:
            picture = source.picture if source.captions is None else without_side_data(source.picture)
            yield Output(picture, *self._place(shown), captions)

    def _waiting_captions(self) -> av.VideoFrame | None:
        """The captions that are to be shown next, each once, a set with a frame."""
        if not self.captions:
            return None
        self.report.captions += 1
        return self.captions.popleft()

    def _place(self, shown: Shown) -> tuple[int, int]:
        """When it is shown, and in which segment."""
        return shown.pts - self.shift, self.segment


def at_once(work: Callable[[], Made]) -> Future[Made]:
    """Do some work here and now."""
    result: Future[Made] = Future()
    result.set_result(work())
    return result
