"""A batch on a cluster: videos in parallel, long ones in pieces, from and to shared folders or
storages."""

import json
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from midframe.batch.records import FOLDER, parse_record, record_path
from midframe.batch.run import Batch, BatchProgress, BatchVideoResult
from midframe.batch.videos import BatchVideo, ChooseSuffix, find_videos, name_results
from midframe.cluster.pool import Pool
from midframe.cluster.render import ClusterRender
from midframe.cluster.scratch import Scratch
from midframe.cluster.storage import Storage, is_address
from midframe.errors import VideoError
from midframe.options import InterpolationOptions, VideoOptions
from midframe.outputs import short_name
from midframe.video.pipeline import VideoProgress, render_result
from midframe.video.render_job import NetworkProperties
from midframe.video.report import VideoReport
from midframe.video.sinks.targets import SegmentedTarget, target_for


class ClusterBatch(Batch):
    """A batch whose videos are rendered by the workers of a cluster.

    This process plans the videos, and joins and verifies their results. If sources or results are
    in a storage, it works on copies in a local folder, which `close` deletes.

    Args:
        source, out: paths or addresses of the folders of the sources and of the results.
        pool: the workers.
        interpolation, options, overwrite: as in `Batch`.
    """

    def __init__(
        self,
        source: str,
        out: str,
        pool: Pool,
        interpolation: InterpolationOptions,
        options: VideoOptions,
        *,
        overwrite: bool = False,
    ) -> None:
        self.pool = pool
        self.scratch = Scratch()
        self.sources = Storage(source) if is_address(source) else None
        """None if they are in a folder of a shared file system."""
        self.results = Storage(out) if is_address(out) else None
        """The same for the results."""
        self.source_folder = self.scratch.folder / "in" if self.sources else Path(source)
        folder = self.scratch.folder / "out" if self.results else Path(out)
        super().__init__(folder, interpolation, options, overwrite=overwrite)
        self._unfinished = 1
        """Number of videos that are waiting or being converted."""

    def close(self) -> None:
        """Delete the local copies."""
        self.scratch.close()

    @property
    def network(self) -> NetworkProperties:
        """Return the network of the workers."""
        return self.pool.network_properties()

    def find_videos(self, choose_suffix: ChooseSuffix) -> list[BatchVideo]:
        """List the videos of the batch; see `midframe.batch.videos.find_videos`."""
        if self.sources is None:
            return find_videos(self.source_folder, self.out, choose_suffix)
        paths = [self.source_folder / name for name in self.sources.find()]
        if self.results and self.results.address.startswith(self.sources.address + "/"):
            inside = self.results.address.removeprefix(self.sources.address + "/")
            paths = [each for each in paths if not each.is_relative_to(self.source_folder / inside)]
        return name_results(self.source_folder, paths, self.out, choose_suffix)

    def run(
        self, videos: Sequence[BatchVideo], progress: BatchProgress | None = None
    ) -> Iterator[BatchVideoResult]:
        """Interpolate videos in parallel; yield the result of each when it is finished."""
        busy = []
        for result in self._run_in_parallel(videos, progress):
            if result.status == "busy":
                busy.append(result.video)
            else:
                yield result
        yield from self._run_in_parallel(busy, progress)

    def _run_in_parallel(
        self, videos: Sequence[BatchVideo], progress: BatchProgress | None
    ) -> Iterator[BatchVideoResult]:
        waiting = deque(videos)
        results: Queue[BatchVideoResult | BaseException] = Queue()

        def work() -> None:
            with suppress(IndexError):
                while True:
                    results.put(self._run_guarded(waiting.popleft(), progress))

        self._unfinished = len(videos)
        # one more thread than workers: while they render, it plans or joins another video
        for _ in range(min(len(videos), self.pool.size + 1, max(2, os.cpu_count() or 1))):
            Thread(target=work, name="video", daemon=True).start()
        for _ in videos:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            self._unfinished -= 1
            yield result

    def _run_guarded(
        self, video: BatchVideo, progress: BatchProgress | None
    ) -> BatchVideoResult | BaseException:
        """Interpolate one video; return, and do not raise, an error that ends the batch."""
        try:
            return self.run_video(video, progress)
        except BaseException as error:
            return error

    def is_done(self, video: BatchVideo) -> bool:
        """Return whether a video has a finished result with the same options, by its record."""
        if self.results is None:
            return super().is_done(video)
        record = self._record_name(video)
        if not self.results.exists(record) or not self.results.exists(video.name):
            return False
        text, size = self.results.read_text(record), self.results.size(video.name)
        return parse_record(text, size, self._settings(video)) is not None

    def render(self, video: BatchVideo, progress: VideoProgress) -> VideoReport:
        """Interpolate one video; the folder of its result exists."""
        target = target_for(video.target, self.options.encoding)
        assert isinstance(target, SegmentedTarget), "results of a batch are files"
        target.check(video.source, overwrite=self.overwrite, resume=not self.overwrite)
        store = self._segment_store(video)
        run = ClusterRender(
            self.pool, self._address(video), store, self.options, self._count_pieces, progress
        )
        report = render_result(
            run,
            video.source,
            target,
            self.network,
            self.options,
            overwrite=self.overwrite,
            resume=not self.overwrite,
        )
        self._segment_stores(video).remove()
        return report

    def _convert(self, video: BatchVideo, progress: BatchProgress | None) -> VideoReport:
        """Interpolate a video; files that are in a storage are copied to and from it."""
        if self.results and self.results.exists(video.name) and not self.overwrite:
            raise VideoError(
                f"{self.results.address}/{video.name} exists, and its record is missing or has "
                "other options: name another OUT_DIR, or give --overwrite"
            )
        if self.sources:
            name = video.source.relative_to(self.source_folder).as_posix()
            self.sources.download(name, video.source)
        report = super()._convert(video, progress)
        if self.results:
            self._upload(video)
        if self.sources:
            video.source.unlink()
        return report

    def _upload(self, video: BatchVideo) -> None:
        """Copy a result and its record into the storage."""
        assert self.results, "results are in a storage"
        record = record_path(self.out, video.name)
        for path, name in ((video.target, video.name), (record, self._record_name(video))):
            if path.exists():
                self.results.upload(path, name)
                path.unlink()

    @contextmanager
    def _lock(self, video: BatchVideo) -> Iterator[None]:
        """Lock a video; in a storage there are no locks, so one run at a time may write there."""
        with nullcontext() if self.results else super()._lock(video):
            yield

    def _identity(self, video: BatchVideo) -> dict[str, Any]:
        if self.sources is None:
            return super()._identity(video)
        return self.sources.identity(video.source.relative_to(self.source_folder).as_posix())

    def _address(self, video: BatchVideo) -> str:
        """Return the path or address by which workers reach a source."""
        if self.sources is None:
            return str(video.source.absolute())
        name = video.source.relative_to(self.source_folder).as_posix()
        return f"{self.sources.address}/{name}"

    def _segment_store(self, video: BatchVideo) -> Storage:
        """Return the folder for the finished segments of a video with the present options."""
        settings = json.dumps(self._settings(video), sort_keys=True).encode()
        return self._segment_stores(video).below(sha256(settings).hexdigest()[:16])

    def _segment_stores(self, video: BatchVideo) -> Storage:
        """Return the folder of all segment stores of a video, one for each set of options; it is
        beside the record of the video."""
        out = self.results.address if self.results else str(self.out.absolute())
        folder, _, name = f"{out}/{FOLDER}/{video.name}".rpartition("/")
        return Storage(f"{folder}/{short_name(name, '.segments')}")

    def _record_name(self, video: BatchVideo) -> str:
        """Return the name of a record in the storage of the results."""
        return record_path(self.out, video.name).relative_to(self.out).as_posix()

    def _count_pieces(self) -> int:
        """Return into how many pieces to divide the next video: more if few videos are left."""
        return math.ceil(self.pool.size / max(1, self._unfinished))
