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
from midframe.media.colour.conversion import Colour
from midframe.media.colour.side_data import CAPTIONS, side_data_of, without_side_data
from midframe.media.reading.source import WHOLE, Frame, FrameSource
from midframe.ops.workers import Workers
from midframe.options import CutMode
from midframe.video.overlays import OverlayFinder
from midframe.video.report import VideoReport
from midframe.video.samples import Samples, blended_frame, interpolated_frame
from midframe.video.segments import LONG_SEGMENT, SHORT_SEGMENT
from midframe.video.timeline import Shown, Timeline, shown_between

STILL_STEPS, STILL_SECONDS = 8, Fraction(1, 2)
"""A frame that is shown for longer than so many usual steps, and than so long, stood still: screens
are recorded where they change."""
MAX_TOGETHER = 8
"""Largest number of frames that one of several workers interpolates in one job, so that memory is
bounded."""
Progress = Callable[[float, float | None], None]
"""Called with the number of source frames that are done, fractional while frames are interpolated,
and their total, if it is known."""


Frames = dict[Fraction, av.VideoFrame]
"""Frames by their time between two others, from 0 to 1."""


@dataclass(frozen=True)
class Output:
    """A picture on its way to the encoder."""

    picture: av.VideoFrame
    """A source frame as it was decoded, or an interpolated frame in the same pixel format and
    colour space."""
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
    """A frame of the result that a worker interpolates."""

    frames: Future[Frames]
    """With the others between the same two source frames."""
    t: Fraction
    pts: int
    segment: int
    captions: av.VideoFrame | None = None

    def output(self) -> Output:
        """Wait for it."""
        return Output(self.frames.result()[self.t], self.pts, self.segment, self.captions)


class Source:
    """A source frame, whose samples are computed when they are first used."""

    def __init__(
        self, frame: Frame, reader: FrameSource, colour: Colour, timeline: Timeline
    ) -> None:
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
    """Turns source frames, one after another, into the frames to show; a few pairs are interpolated
    at a time.

    Args:
        workers: threads that interpolate; with a single one, this thread does.
        tool: interpolates frames.
        colour: how the source's samples represent colours.
        timeline: when frames are shown.
        cut: what is shown across a cut, as in `RetimingOptions`.
        reader: the source.
        report: counts what becomes of every frame.
        overlays: keep areas that stand still, in front of a moving picture or not.
        finished: segments that exist already: their frames are only counted.
        progress: see `Progress`.
    """

    def __init__(
        self,
        workers: Workers,
        tool: Interpolator,
        colour: Colour,
        timeline: Timeline,
        cut: CutMode,
        reader: FrameSource,
        report: VideoReport,
        *,
        overlays: bool = True,
        finished: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.workers, self.tool, self.colour, self.timeline, self.cut = (
            workers,
            tool,
            colour,
            timeline,
            cut,
        )
        self.reader, self.report, self.progress = reader, report, progress
        self.finder = OverlayFinder() if overlays else None
        self.finished, self.segment, self._segment_begin = finished, 0, 0
        self.origin = self.end = Fraction(0)
        """When the first source frame is shown and when the last no longer is, in seconds of the
        source."""
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
        """When the last frame of the result is no longer shown, in the time base of the
        timeline."""
        return round(self.end * self.timeline.slow / self.timeline.time_base) - self.shift

    def frames(self, frames: Iterable[Frame]) -> Iterator[Output]:
        """What is shown from the first frame to the end of the last."""
        waiting = deque[Output | Pending]()
        for each in self._all(frames):
            waiting.append(each)
            while waiting and self._is_ready(waiting):
                yield waiting.popleft().output()
        yield from (each.output() for each in waiting)

    def _all(self, frames: Iterable[Frame]) -> Iterator[Output | Pending]:
        """The same, some frames still pending."""
        for frame in frames:
            yield from self._frames_for(frame)
        yield from self._closing_frames()

    def _is_ready(self, waiting: deque[Output | Pending]) -> bool:
        """Whether the first frame is to be yielded: it is finished, or more jobs are running than
        there are workers."""
        first, jobs = waiting[0], {each.frames for each in waiting if isinstance(each, Pending)}
        return isinstance(first, Output) or first.frames.done() or len(jobs) > self.workers.number

    def _frames_for(self, frame: Frame) -> Iterator[Output | Pending]:
        """What is shown from the frame before up to this one."""
        after = Source(frame, self.reader, self.colour, self.timeline)
        self.report.worst_error = max(
            self.report.worst_error, abs(after.time - after.own_time) * self.timeline.slow
        )
        if self.before:
            after.time = max(after.time, self.before.time)
            yield from self._between(self.before, after)
            self._end_segment(at_cut=after.begins_scene)
        else:
            self.origin, self.first_time = after.time, after.own_time
        self.before = after
        self.report.frames_in += 1
        self._report_progress(0)

    def _closing_frames(self) -> Iterator[Output]:
        """What is shown from the last frame up to its end: the frame itself."""
        if self.before:
            self.own_end = max(self.before.end, self.reader.end or Fraction(0))
            self.end = self.timeline.end(self.before.time, self.own_end)
            self.report.length_in = (self.own_end - self.first_time) * self.timeline.slow
            for shown in shown_between(self.timeline, self.before.time, self.end, self.tool.depth):
                yield from self._show_source(self.before, shown)

    def _report_progress(self, fraction: float) -> None:
        if self.progress:
            self.progress(self.report.frames_in + fraction, self.reader.expected_frames)

    def _end_segment(self, *, at_cut: bool) -> None:
        if self.report.frames_out - self._segment_begin >= (
            SHORT_SEGMENT if at_cut else LONG_SEGMENT
        ):
            self.segment, self._segment_begin = self.segment + 1, self.report.frames_out

    def _between(self, before: Source, after: Source) -> Iterator[Output | Pending]:
        shown = list(shown_between(self.timeline, before.time, after.time, self.tool.depth))
        if self.finder:
            self.finder.add_pair(before.picture, after.picture, cut=after.begins_scene)
        if after.begins_scene:
            self.report.cuts += 1
            shown = [self._across_cut(each) for each in shown]
        elif self._stood_still(before, after):
            self.report.gaps += 1
            shown = [replace(each, t=Fraction(0)) for each in shown]
        else:
            self.report.worst_error = max(
                [self.report.worst_error, *(each.error for each in shown)]
            )
        if before.captions and not before.shown and all(each.t for each in shown):
            self.captions.append(before.captions)  # the frame itself is not shown
        wanted = [each.t for each in shown if 0 < each.t < 1]
        together = MAX_TOGETHER if self.workers.number > 1 else max(1, len(wanted))
        pair = (before.samples, after.samples) if wanted and self.segment >= self.finished else None
        pending, number = None, 0
        for each in shown:
            if each.t in (0, 1):
                yield from self._show_source(after if each.t else before, each)
                continue
            self.report.frames_interpolated += 1
            if pair and number % together == 0:
                pending = self._interpolate(
                    *pair, wanted[number : number + together], at_cut=after.begins_scene
                )
            captions = self._waiting_captions()
            if pending:
                yield Pending(pending, each.t, *self._place(each), captions)
            number += 1

    def _stood_still(self, before: Source, after: Source) -> bool:
        length = after.time - before.time
        return length > STILL_SECONDS and length > STILL_STEPS / self.reader.rate

    def _across_cut(self, shown: Shown) -> Shown:
        kept = {
            "hold": Fraction(int(shown.t)),
            "nearest": Fraction(round(shown.t)),
            "blend": shown.t,
        }
        return replace(shown, t=kept[self.cut])

    def _interpolate(
        self, first: Samples, second: Samples, times: list[Fraction], *, at_cut: bool
    ) -> Future[Frames]:
        """Start to interpolate the frames at some times between two."""
        if at_cut:
            return at_once(lambda: {time: blended_frame(first, second, time) for time in times})
        options: dict[str, Any] = {"still": self.finder is not None}
        options["overlays"] = self.finder.overlays() if self.finder else None

        def interpolate(progress: Callable[[float], None] | None = None) -> Frames:
            images = self.tool.interpolate_many(first.rgb, second.rgb, times, progress=progress)
            each = zip(times, images, strict=True)
            return {
                time: interpolated_frame(image, first, second, time, **options)
                for time, image in each
            }

        if self.workers.number > 1:
            return self.workers.submit(interpolate)
        return at_once(lambda: interpolate(self._report_progress))

    def _show_source(self, source: Source, shown: Shown) -> Iterator[Output]:
        if source.shown:
            self.report.frames_held += 1
        else:
            self.report.frames_kept += 1
        first_time, source.shown = not source.shown, True
        if first_time and source.captions:
            self.captions.append(source.captions)
        captions = self._waiting_captions()
        if self.segment >= self.finished:
            picture = (
                source.picture if source.captions is None else without_side_data(source.picture)
            )
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


def at_once(work: Callable[[], Frames]) -> Future[Frames]:
    """Run work in this thread."""
    result: Future[Frames] = Future()
    result.set_result(work())
    return result
