"""Dry run of a batch: estimates of time and disk space."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from midframe.batch.run import Batch
from midframe.batch.videos import BatchVideo
from midframe.errors import MidframeError, OptionError
from midframe.media.reading.sources import identity_of
from midframe.speeds import ESTIMATE_SECONDS, make_frames, measure_rate
from midframe.video.render_job import open_render_job, result_settings
from midframe.video.sinks.protocol import Target
from midframe.video.sinks.targets import SegmentedTarget, target_for
from midframe.video.timeline import estimate_frames


@dataclass(frozen=True)
class VideoEstimate:
    """Estimates of a result from the packets of the source and a speed measurement."""

    video: BatchVideo
    done: bool = False
    """It has a finished result with the same options."""
    error: str = ""
    """Why it cannot be read, or its result cannot be encoded or may not be replaced."""
    width: int = 0
    height: int = 0
    frames: int = 0
    """Number of frames of the result."""
    interpolated: int = 0
    """Minimum number of interpolated frames."""
    seconds: float = 0.0
    """Duration of interpolation; decoding and encoding run in parallel, and may take longer."""
    disk_bytes: int = 0
    """Size of the result, assuming that a frame has the same size as in the source."""


def estimate_videos(batch: Batch, videos: Iterable[BatchVideo]) -> Iterator[VideoEstimate]:
    """Yield an estimate of each result.

    Args:
        batch: options and network.
        videos: of the batch; their packets and first frames are read.
    """
    speeds: dict[tuple[int, int], float] = {}
    for video in videos:
        try:
            yield _estimate_video(batch, video, speeds)
        except (MidframeError, OptionError, OSError) as error:
            yield VideoEstimate(video, error=str(error))


def _estimate_video(
    batch: Batch, video: BatchVideo, speeds: dict[tuple[int, int], float]
) -> VideoEstimate:
    target = target_for(video.target, batch.options.encoding)
    if batch.is_done(video) or (video.target.exists() and _is_complete(batch, video, target)):
        return VideoEstimate(video, done=True)
    with open_render_job(
        video.source, target, batch.network, batch.options, settings={}
    ) as render_job:
        conversion = render_job.conversion
        if isinstance(target, SegmentedTarget):
            target.choose_encoding(conversion)  # refuses what the work would refuse
        picture = conversion.picture
        count = round(conversion.source.expected_frames or 0)
        frames, interpolated = estimate_frames(count, conversion.source.rate, conversion.timeline)
    size = (picture.height, picture.width)
    if size not in speeds:
        speeds[size] = 1 / measure_rate(batch.interpolator, *make_frames(*size), ESTIMATE_SECONDS)
    return VideoEstimate(
        video,
        width=picture.width,
        height=picture.height,
        frames=frames,
        interpolated=interpolated,
        seconds=interpolated * speeds[size],
        disk_bytes=round(video.source.stat().st_size * frames / max(1, count)),
    )


def _is_complete(batch: Batch, video: BatchVideo, target: Target) -> bool:
    """Return whether an existing file is the complete result of a video.

    Raises:
        VideoError: it is another file, which the work would not replace.
    """
    options = replace(batch.options, encoding=target.options)
    settings = result_settings(identity_of(video.source), batch.network, options)
    return target.is_complete(settings, overwrite=batch.overwrite)
