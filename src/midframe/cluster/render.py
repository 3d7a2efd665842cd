"""Rendering one video on a cluster: this process divides it into pieces, workers render them, and
this process joins their segments."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from itertools import pairwise

from midframe.cluster.pool import Pool
from midframe.cluster.storage import Storage
from midframe.cluster.worker import PieceJob, finished_segments, segment_name
from midframe.errors import ClusterError
from midframe.options import VideoOptions
from midframe.video.pieces import Piece, SegmentPlan, encoder_state, plan_segments
from midframe.video.pipeline import VideoProgress
from midframe.video.plan import Extent
from midframe.video.render_job import RenderJob
from midframe.video.sinks.animation import AnimationSink
from midframe.video.sinks.protocol import Sink
from midframe.video.sinks.video_file import VideoFileSink

POLL_SECONDS = 0.5
"""Seconds between two listings of the store of finished segments."""
VISIBLE_SECONDS = 60.0
"""Seconds within which a file that another machine has written must become visible here: network
file systems cache listings for some time."""


@dataclass(frozen=True)
class ClusterRender:
    """Renders the frames of one video on a cluster: a `RenderAll`.

    Args:
        pool: the workers.
        source: path or address by which workers reach the source.
        store: folder for finished segments.
        options: of the result.
        count_pieces: returns into how many pieces to divide the video, once it is planned.
        progress: called with the number of finished source frames, and their total.
    """

    pool: Pool
    source: str
    store: Storage
    options: VideoOptions
    count_pieces: Callable[[], int]
    progress: VideoProgress

    def __call__(self, render_job: RenderJob, sink: Sink) -> Extent:
        """Render and join all segments; those that are finished already are used."""
        assert isinstance(sink, VideoFileSink | AnimationSink), "results of a batch are files"
        plan = plan_segments(render_job)
        self.store.create()
        finished = finished_segments(self.store) | set(range(sink.finished))
        missing = [n for n in range(len(plan.source_frames)) if n not in finished]
        state = encoder_state(sink.encoding)
        futures = [
            self.pool.submit(
                PieceJob(
                    self.source,
                    sink.path.name,
                    self.options,
                    Piece(segments, state, dict(render_job.conversion.settings)),
                    self.store.address,
                )
            )
            for segments in divide_segments(missing, self.count_pieces())
        ]
        try:
            self._join(plan, sink, futures)
        finally:
            for each in futures:
                each.cancel()
        return plan.extent

    def _join(
        self, plan: SegmentPlan, sink: VideoFileSink | AnimationSink, futures: list[Future[None]]
    ) -> None:
        """Add the segments to those of the result, in order, as they are finished."""
        segments, total = sink.encoder.segments, len(plan.source_frames)
        last_added = time.monotonic()
        while True:
            stored = finished_segments(self.store)
            while segments.finished in stored:
                file = segments.folder / segment_name(segments.finished)
                self.store.download(file.name, file)
                segments.add_file(file)
                file.unlink()
                last_added = time.monotonic()
            rendered = stored | set(range(segments.finished))
            done = sum(count for n, count in enumerate(plan.source_frames) if n in rendered)
            self.progress(done, sum(plan.source_frames))
            if segments.finished >= total:
                return
            self._wait(futures, seconds_idle=time.monotonic() - last_added)

    def _wait(self, futures: list[Future[None]], *, seconds_idle: float) -> None:
        """Wait a little for further segments; raise the error of a piece.

        Args:
            futures: of the pieces.
            seconds_idle: time since a segment was last added.
        """
        done, running = wait(futures, timeout=POLL_SECONDS, return_when=FIRST_EXCEPTION)
        for each in done:
            each.result()
        if running:
            return
        if seconds_idle > VISIBLE_SECONDS:
            raise ClusterError(
                f"{self.store.address} does not contain what workers have written: all machines "
                "need the same folders, or addresses such as s3://"
            )
        time.sleep(POLL_SECONDS)


def divide_segments(missing: Iterable[int], count: int) -> Iterator[range]:
    """Divide the numbers of segments into ranges of consecutive numbers, of about the same length.

    Args:
        missing: numbers of segments, in ascending order.
        count: of the ranges; there are more if `missing` has gaps.
    """
    numbers = list(missing)
    length = max(1, math.ceil(len(numbers) / count))
    begins = [0] if numbers else []
    for place, (before, after) in enumerate(pairwise(numbers), start=1):
        if after != before + 1 or place - begins[-1] >= length:
            begins.append(place)
    for begin, end in pairwise([*begins, len(numbers)]):
        yield range(numbers[begin], numbers[end - 1] + 1)
