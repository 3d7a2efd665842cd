"""Rendering of one result from an open source.

Whole results and pieces of them, on one machine and on many, are rendered in the same way.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from midframe.interpolator import Interpolator
from midframe.media.reading.source import WHOLE_SOURCE, Frame
from midframe.media.reading.sources import open_source
from midframe.ops.workers import Workers
from midframe.options import InterpolationOptions, RetimingOptions, VideoOptions, fingerprint
from midframe.video.channel import run_threads
from midframe.video.duplicates import drop_duplicates
from midframe.video.plan import Extent, Interval, PlanOptions
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.renderer import Renderer, RenderProgress
from midframe.video.report import VideoReport
from midframe.video.sinks.protocol import Conversion, Target
from midframe.video.timeline import choose_timeline


class NetworkProperties(Protocol):
    """The properties of an `Interpolator` that affect the plan and the settings of a result."""

    @property
    def identity(self) -> str:
        """A hash of the network."""

    @property
    def depth(self) -> int | None:
        """As in `InterpolationOptions`; None for a network that interpolates any time."""

    @property
    def options(self) -> InterpolationOptions:
        """How frames are interpolated."""


@dataclass
class RenderJob:
    """Renders one result, or some segments of it; the source is read once."""

    conversion: Conversion
    plan_options: PlanOptions
    retiming: RetimingOptions
    extent: Extent | None = None
    """Of the whole result, after all its intervals were counted."""

    def count(self, interval: Interval) -> None:
        """Count the frames of the next interval of the plan in the report of the result."""
        self.conversion.report.count(interval)
        self.extent = interval.extent

    def read(self) -> Iterator[Frame]:
        """Yield the frames of the source that the plan is made for."""
        source = self.conversion.source
        if self.retiming.dedup:
            return drop_duplicates(source.read(), source.frame_duration)
        return source.read()

    def times_of(self, frame: Frame) -> tuple[Fraction, Fraction]:
        """Return start and end of a source frame, in seconds."""
        source = self.conversion.source
        duration = frame.duration or source.frame_duration
        return frame.pts * source.time_base, (frame.pts + duration) * source.time_base

    def render(
        self,
        interpolator: Interpolator,
        write: Callable[[Iterable[RenderedFrame]], None],
        check: Callable[[], None],
        observe: Callable[[Interval], None],
        *,
        finished: int = 0,
        end: int | None = None,
        progress: RenderProgress | None = None,
    ) -> None:
        """Render the frames of the result, in three threads and a pool of workers.

        Args:
            interpolator: for the frames between source frames.
            write: takes the frames in order, in a thread of its own.
            check: called while other threads wait for `write`; its exceptions end the work.
            observe: called with each interval of the plan.
            finished, end, progress: as in `Renderer`.
        """
        picture = self.conversion.picture
        with Workers(interpolator.pairs_at_once(picture.height, picture.width)) as workers:
            renderer = Renderer(
                workers,
                interpolator,
                self.conversion.colour,
                overlays=self.retiming.overlays,
                finished=finished,
                end=end,
                progress=progress,
            )
            run_threads(
                self.read(),
                lambda frames: renderer.frames(frames, self.plan_options, self.times_of, observe),
                write,
                check,
                self.conversion.source.interrupt,
            )


@contextmanager
def open_render_job(
    path: Path,
    target: Target,
    network: NetworkProperties,
    options: VideoOptions,
    settings: dict[str, Any],
) -> Iterator[RenderJob]:
    """Open a source for a result; it is closed at the end of the block.

    Args:
        path: of the source.
        target: of the result.
        network: that interpolates.
        options: of the result.
        settings: from `result_settings`.

    Raises:
        VideoError: the source cannot be read.
    """
    tags = {
        "stores_display_matrix": target.stores_display_matrix,
        "stores_aspect_ratio": target.stores_aspect_ratio,
    }
    with open_source(path, options.source, **tags) as source:
        picture, colour = source.first_picture()
        timeline = choose_timeline(
            source.source_rate,
            source.time_base,
            options.retiming,
            constant_rate_only=target.constant_rate_only,
            min_step=target.min_step,
        )
        conversion = Conversion(
            source, picture, colour, timeline, settings, VideoReport(), options.encoding.mute
        )
        plan_options = PlanOptions(
            timeline,
            source.rate,
            cut=options.retiming.cut,
            depth=network.depth,
            source_end=source.end,
            starts_at_zero=target.starts_at_zero or source.time_range != WHOLE_SOURCE,
        )
        yield RenderJob(conversion, plan_options, options.retiming)


def result_settings(
    video: dict[str, Any], network: NetworkProperties, options: VideoOptions
) -> dict[str, Any]:
    """Return what decides the frames of a result, as JSON values: the source, the network and all
    options that affect them. A result with the same settings is the same result.

    Args:
        video: `identity_of` the source.
        network: that interpolates.
        options: of the result.
    """
    groups = (options.retiming, options.source, options.encoding)
    return {
        "video": video,
        "network": network.identity,
        **fingerprint(network.options, *groups),
    }
