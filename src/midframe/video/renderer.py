"""Rendering of the frames of a plan."""

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
from midframe.video.compilation import compile_pipelines
from midframe.video.overlays import OverlayFinder
from midframe.video.plan import FrameTiming, Interval, PlannedFrame, PlanOptions, plan_intervals
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.samples import Samples, blended_frame, interpolated_frame

MAX_FRAMES_PER_JOB = 8
"""Maximum number of frames that a worker interpolates in one job, to limit memory."""
RenderProgress = Callable[[float], None]
"""Callback with the number of finished source frames, fractional while a pair is interpolated."""
FrameTimes = Callable[[Frame], tuple[Fraction, Fraction]]
"""Returns start and end of a source frame, in seconds."""
Pictures = dict[Fraction, av.VideoFrame]
"""Frames by their time between two others."""


@dataclass(frozen=True)
class _Pending:
    """A frame of the result that may not be interpolated yet."""

    pictures: Future[Pictures]
    """All frames of its job."""
    t: Fraction
    pts: int
    segment: int
    original: av.VideoFrame
    captions: av.VideoFrame | None

    def wait(self) -> RenderedFrame:
        """Wait for the frame and return it."""
        picture = self.pictures.result()[self.t]
        return RenderedFrame(picture, self.pts, self.segment, self.original, self.captions)


class _SourceFrame:
    """A source frame; its samples are converted on first use."""

    def __init__(self, frame: Frame, colour: Colour, timing: FrameTiming) -> None:
        self.picture = frame.picture
        self.colour = colour
        self.has_captions = timing.captions

    @cached_property
    def samples(self) -> Samples:
        return Samples(self.picture, self.colour)

    @cached_property
    def shown(self) -> av.VideoFrame:
        """Return the frame without side data; the plan decides where captions are attached."""
        return without_side_data(self.picture) if self.has_captions else self.picture


class Renderer:
    """Renders the frames of a plan; several pairs of source frames are interpolated in parallel.

    Args:
        workers: threads that interpolate; with only one, the calling thread interpolates.
        interpolator: of the frames.
        colour: how the source's samples represent colours.
        overlays: keep static areas, including overlays in front of a moving image.
        finished: number of segments that exist already; their frames are not rendered.
        end: number of the segment before which the work ends; None for the end of the result.
        progress: see `RenderProgress`.
    """

    def __init__(
        self,
        workers: Workers,
        interpolator: Interpolator,
        colour: Colour,
        *,
        overlays: bool = True,
        finished: int = 0,
        end: int | None = None,
        progress: RenderProgress | None = None,
    ) -> None:
        self.workers = workers
        self.interpolator = interpolator
        self.colour = colour
        self.finder = OverlayFinder() if overlays else None
        self.finished = finished
        self.end = end
        self.progress = progress
        self._sources: dict[int, _SourceFrame] = {}
        """The two source frames of the present interval, by number."""
        self._captions: dict[int, av.VideoFrame] = {}
        """Source frames whose closed captions are not attached yet, by number."""
        self._begun = False
        """Whether a pair was interpolated, for which pipelines are compiled."""

    def frames(
        self,
        frames: Iterable[Frame],
        options: PlanOptions,
        frame_times: FrameTimes,
        observe: Callable[[Interval], None],
    ) -> Iterator[RenderedFrame]:
        """Yield the frames of the result in order.

        Args:
            frames: of the source.
            options: of the plan.
            frame_times: see `FrameTimes`.
            observe: called with each interval of the plan before its frames are rendered.
        """
        waiting = deque[_Pending]()
        for interval in plan_intervals(self._read_sources(frames, frame_times), options):
            observe(interval)
            if self.end is not None and interval.segment >= self.end:
                break
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
        frame_times: FrameTimes,
    ) -> Iterator[FrameTiming]:
        """Yield the times of each source frame, and store the frame for rendering.

        The plan reads a frame only after the previous interval is rendered, so two are stored.
        """
        for number, frame in enumerate(frames):
            timing = timing_of(frame, frame_times)
            self._sources.pop(number - 2, None)
            self._sources[number] = _SourceFrame(frame, self.colour, timing)
            if timing.captions:
                self._captions[number] = frame.picture
            yield timing

    def _is_ready(self, waiting: deque[_Pending]) -> bool:
        """Return whether to yield the first frame now: it is finished, or there are more jobs than
        workers.

        Finished jobs are counted too, to limit memory while one job is slow.
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
            if each.t:
                pictures = next(jobs)
            else:
                pictures = completed_future({each.t: self._sources[each.source].shown})
            yield _Pending(pictures, each.t, each.pts, interval.segment, before.picture, captions)

    def _jobs(self, interval: Interval) -> Iterator[Future[Pictures]]:
        """Yield the job of each frame to interpolate or blend; a job starts when its first frame is
        requested."""
        wanted = [each for each in interval.frames if each.t]
        together = MAX_FRAMES_PER_JOB if self.workers.number > 1 else max(1, len(wanted))
        for begin in range(0, len(wanted), together):
            group = wanted[begin : begin + together]
            job = self._start(interval, group)
            for _ in group:
                yield job

    def _start(self, interval: Interval, group: Sequence[PlannedFrame]) -> Future[Pictures]:
        """Start the job for some frames between two source frames."""
        assert interval.before is not None, "a frame lies between two"
        assert interval.after is not None, "a frame lies between two"
        first = self._sources[interval.before].samples
        second = self._sources[interval.after].samples
        times = [each.t for each in group]
        if group[0].action == "blend":
            return completed_future({time: blended_frame(first, second, time) for time in times})
        if not self._begun:
            self._begun = True
            self.workers.submit(compile_pipelines, first.picture, self.colour)
        options: dict[str, Any] = {"keep_source_areas": self.finder is not None}
        options["overlays"] = self.finder.overlays() if self.finder else None

        def interpolate(progress: Callable[[float], None] | None = None) -> Pictures:
            with self.interpolator.on_free_device() as here:
                before = first.tensor(here.device)
                after = second.tensor(here.device)
                images = here.interpolate(before, after, times, progress=progress)
                return {
                    time: interpolated_frame(image, first, second, time, **options)
                    for time, image in zip(times, images, strict=True)
                }

        if self.workers.number > 1:
            return self.workers.submit(interpolate)
        begin = interval.after
        return completed_future(
            interpolate(lambda fraction: self._report_progress(begin + fraction))
        )

    def _report_progress(self, frames: float) -> None:
        if self.progress:
            self.progress(frames)


def timing_of(frame: Frame, frame_times: FrameTimes) -> FrameTiming:
    """Return the properties of a source frame that affect the plan."""
    begin, end = frame_times(frame)
    return FrameTiming(begin, end, frame.begins_scene, CAPTIONS in side_data_of(frame.picture))


def completed_future(pictures: Pictures) -> Future[Pictures]:
    """Return a future with a result."""
    result: Future[Pictures] = Future()
    result.set_result(pictures)
    return result
