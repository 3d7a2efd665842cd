"""From source frames and the plan to the frames of the result."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import av

from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import Colour
from midframe.media.colour.side_data import CAPTIONS, side_data_of, without_side_data
from midframe.media.reading.source import Frame
from midframe.ops.workers import Workers
from midframe.video.overlays import OverlayFinder
from midframe.video.plan import FrameTiming, Interval, PlannedFrame, PlanRules, plan
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.samples import Samples, blended_frame, interpolated_frame

MAX_TOGETHER = 8
"""Largest number of frames that one of several workers interpolates in one job, so that memory is
bounded."""
Progress = Callable[[float], None]
"""Called with the number of source frames that are done, fractional while frames are
interpolated."""
Pictures = dict[Fraction, av.VideoFrame]
"""Frames by their time between two others."""


@dataclass(frozen=True)
class _Pending:
    """A frame of the result whose picture a worker may still interpolate."""

    pictures: Future[Pictures]
    """With the others of its job."""
    t: Fraction
    pts: int
    segment: int
    original: av.VideoFrame
    captions: av.VideoFrame | None

    def wait(self) -> RenderedFrame:
        """Return the frame when it is there."""
        picture = self.pictures.result()[self.t]
        return RenderedFrame(picture, self.pts, self.segment, self.original, self.captions)


class _SourceFrame:
    """A source frame, whose samples are computed when they are first used."""

    def __init__(self, frame: Frame, colour: Colour) -> None:
        self.picture = frame.picture
        self.colour = colour
        self.has_captions = CAPTIONS in side_data_of(frame.picture)

    @cached_property
    def samples(self) -> Samples:
        return Samples(self.picture, self.colour)

    @cached_property
    def shown(self) -> av.VideoFrame:
        """The picture without its captions, which are attached where the plan has them."""
        return without_side_data(self.picture) if self.has_captions else self.picture


class Renderer:
    """Makes the frames of a plan; a few pairs of source frames are interpolated at a time.

    Args:
        workers: threads that interpolate; with a single one, the calling thread does.
        tool: interpolates frames.
        colour: how the source's samples represent colours.
        overlays: keep areas that stand still, in front of a moving picture or not.
        finished: number of segments that exist already: their frames are not rendered.
        progress: see `Progress`.
    """

    def __init__(
        self,
        workers: Workers,
        tool: Interpolator,
        colour: Colour,
        *,
        overlays: bool = True,
        finished: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.workers = workers
        self.tool = tool
        self.colour = colour
        self.finder = OverlayFinder() if overlays else None
        self.finished = finished
        self.progress = progress
        self._sources: dict[int, _SourceFrame] = {}
        """The two source frames of the present interval, by their numbers."""
        self._captions: dict[int, av.VideoFrame] = {}
        """Source frames whose closed captions are still to be shown, by their numbers."""

    def frames(
        self,
        frames: Iterable[Frame],
        rules: PlanRules,
        frame_times: Callable[[Frame], tuple[Fraction, Fraction]],
        observe: Callable[[Interval], None],
    ) -> Iterator[RenderedFrame]:
        """Yield what is shown from the first frame to the end of the last.

        Args:
            frames: of the source.
            rules: of the plan.
            frame_times: returns when a source frame begins and ends to be shown, in seconds.
            observe: called with every interval of the plan before its frames are rendered.
        """
        waiting = deque[_Pending]()
        for interval in plan(self._read_sources(frames, frame_times), rules):
            observe(interval)
            for each in self._render(interval):
                waiting.append(each)
                while waiting and self._is_ready(waiting):
                    yield waiting.popleft().wait()
            if interval.after is not None:
                self._report_progress(interval.after + 1)
        yield from (each.wait() for each in waiting)

    def _read_sources(
        self,
        frames: Iterable[Frame],
        frame_times: Callable[[Frame], tuple[Fraction, Fraction]],
    ) -> Iterator[FrameTiming]:
        """Keep each source frame while the plan needs it, and yield its times.

        The plan takes a frame only when the interval before is rendered, so two are kept.
        """
        for number, frame in enumerate(frames):
            source = _SourceFrame(frame, self.colour)
            self._sources.pop(number - 2, None)
            self._sources[number] = source
            if source.has_captions:
                self._captions[number] = source.picture
            begin, end = frame_times(frame)
            yield FrameTiming(begin, end, frame.begins_scene, source.has_captions)

    def _is_ready(self, waiting: deque[_Pending]) -> bool:
        """Whether the first frame is to be yielded: it is finished, or more jobs than there are
        workers wait with it.

        Jobs that are finished behind it count as well: otherwise memory would grow while workers
        overtake a slow one.
        """
        jobs = {each.pictures for each in waiting if each.t}
        return waiting[0].pictures.done() or len(jobs) > self.workers.number

    def _render(self, interval: Interval) -> Iterator[_Pending]:
        if interval.before is None:
            return
        before = self._sources[interval.before]
        if self.finder and interval.after is not None:
            after = self._sources[interval.after]
            self.finder.add_pair(before.picture, after.picture, cut=interval.type == "cut")
        jobs = self._jobs(interval)
        for each in interval.frames:
            captions = None if each.captions is None else self._captions.pop(each.captions)
            if interval.segment < self.finished:
                continue
            pictures = next(jobs) if each.t else done({each.t: self._sources[each.source].shown})
            yield _Pending(pictures, each.t, each.pts, interval.segment, before.picture, captions)

    def _jobs(self, interval: Interval) -> Iterator[Future[Pictures]]:
        """Yield the job of every frame that is not a source frame; a job is started when its first
        frame is asked for."""
        wanted = [each for each in interval.frames if each.t]
        together = MAX_TOGETHER if self.workers.number > 1 else max(1, len(wanted))
        for begin in range(0, len(wanted), together):
            group = wanted[begin : begin + together]
            job = self._start(interval, group)
            for _ in group:
                yield job

    def _start(self, interval: Interval, group: Sequence[PlannedFrame]) -> Future[Pictures]:
        """Start to make some frames between two source frames."""
        assert interval.before is not None, "a frame lies between two"
        assert interval.after is not None, "a frame lies between two"
        first = self._sources[interval.before].samples
        second = self._sources[interval.after].samples
        times = [each.t for each in group]
        if group[0].action == "blend":
            return done({time: blended_frame(first, second, time) for time in times})
        options: dict[str, Any] = {"still": self.finder is not None}
        options["overlays"] = self.finder.overlays() if self.finder else None

        def interpolate(progress: Callable[[float], None] | None = None) -> Pictures:
            images = self.tool.interpolate_many(first.rgb, second.rgb, times, progress=progress)
            return {
                time: interpolated_frame(image, first, second, time, **options)
                for time, image in zip(times, images, strict=True)
            }

        if self.workers.number > 1:
            return self.workers.submit(interpolate)
        begin = interval.after
        return done(interpolate(lambda fraction: self._report_progress(begin + fraction)))

    def _report_progress(self, frames: float) -> None:
        if self.progress:
            self.progress(frames)


def done(pictures: Pictures) -> Future[Pictures]:
    """A future whose result is there."""
    result: Future[Pictures] = Future()
    result.set_result(pictures)
    return result
