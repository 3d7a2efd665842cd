"""A batch on a cluster: films side by side, long ones in pieces, from and to shared folders or
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

from midframe.batch.films import ChooseSuffix, Film, find_films, name_results
from midframe.batch.records import FOLDER, parse_record, record_path
from midframe.batch.run import Batch, FilmProgress, FilmResult
from midframe.cluster.film import FilmRun
from midframe.cluster.pool import Pool
from midframe.cluster.scratch import Scratch
from midframe.cluster.storage import Storage, is_address
from midframe.errors import VideoError
from midframe.options import InterpolationOptions, VideoOptions
from midframe.outputs import short_name
from midframe.video.pipeline import Progress, convert_with
from midframe.video.render_job import NetworkProperties
from midframe.video.report import VideoReport
from midframe.video.sinks.targets import SegmentedTarget, target_for


class ClusterBatch(Batch):
    """A batch whose films are rendered by the workers of a cluster.

    They are planned, joined and verified by this process. Films of a storage are copied for that to
    a local folder, which is deleted by `close`.

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
        """Number of films that are waiting or in work."""

    def close(self) -> None:
        """Delete the local copies."""
        self.scratch.close()

    @property
    def network(self) -> NetworkProperties:
        """Return the network of the workers."""
        return self.pool.facts()

    def find_films(self, choose_suffix: ChooseSuffix) -> list[Film]:
        """List the films of the batch; see `midframe.batch.films.find_films`."""
        if self.sources is None:
            return find_films(self.source_folder, self.out, choose_suffix)
        paths = [self.source_folder / name for name in self.sources.find()]
        if self.results and self.results.address.startswith(self.sources.address + "/"):
            inside = self.results.address.removeprefix(self.sources.address + "/")
            paths = [each for each in paths if not each.is_relative_to(self.source_folder / inside)]
        return name_results(self.source_folder, paths, self.out, choose_suffix)

    def run(
        self, films: Sequence[Film], progress: FilmProgress | None = None
    ) -> Iterator[FilmResult]:
        """Interpolate films side by side; yield the result of each when it is finished."""
        busy = []
        for result in self._run_side_by_side(films, progress):
            if result.status == "busy":
                busy.append(result.film)
            else:
                yield result
        yield from self._run_side_by_side(busy, progress)

    def _run_side_by_side(
        self, films: Sequence[Film], progress: FilmProgress | None
    ) -> Iterator[FilmResult]:
        waiting = deque(films)
        results: Queue[FilmResult | BaseException] = Queue()

        def work() -> None:
            with suppress(IndexError):
                while True:
                    results.put(self._run_guarded(waiting.popleft(), progress))

        self._unfinished = len(films)
        # one more than workers: it is planned or joined while they render
        for _ in range(min(len(films), self.pool.size + 1, max(2, os.cpu_count() or 1))):
            Thread(target=work, name="film", daemon=True).start()
        for _ in films:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            self._unfinished -= 1
            yield result

    def _run_guarded(self, film: Film, progress: FilmProgress | None) -> FilmResult | BaseException:
        """Interpolate one film; return an error that ends the batch."""
        try:
            return self.run_film(film, progress)
        except BaseException as error:
            return error

    def is_done(self, film: Film) -> bool:
        """Return whether a film has a finished result with the same options, by its record."""
        if self.results is None:
            return super().is_done(film)
        record = self._record_name(film)
        if not self.results.exists(record) or not self.results.exists(film.name):
            return False
        text, size = self.results.read_text(record), self.results.size(film.name)
        return parse_record(text, size, self._settings(film)) is not None

    def render(self, film: Film, progress: Progress) -> VideoReport:
        """Interpolate one film, whose folder exists."""
        target = target_for(film.target, self.options.encoding)
        assert isinstance(target, SegmentedTarget), "results of a batch are files"
        target.check(film.source, overwrite=self.overwrite, resume=not self.overwrite)
        store = self._store(film)
        run = FilmRun(
            self.pool, self._address(film), store, self.options, self._count_pieces, progress
        )
        report = convert_with(
            run,
            film.source,
            target,
            self.network,
            self.options,
            overwrite=self.overwrite,
            resume=not self.overwrite,
        )
        self._stores(film).remove()
        return report

    def _convert(self, film: Film, progress: FilmProgress | None) -> VideoReport:
        """Interpolate a film, with local copies of what is in a storage."""
        if self.results and self.results.exists(film.name) and not self.overwrite:
            raise VideoError(
                f"{self.results.address}/{film.name} exists, and its record is missing or has "
                "other options: name another OUT_DIR, or give --overwrite"
            )
        if self.sources:
            name = film.source.relative_to(self.source_folder).as_posix()
            self.sources.download(name, film.source)
        report = super()._convert(film, progress)
        if self.results:
            self._upload(film)
        if self.sources:
            film.source.unlink()
        return report

    def _upload(self, film: Film) -> None:
        """Copy a result and its record into the storage."""
        assert self.results, "results are in a storage"
        record = record_path(self.out, film.name)
        for path, name in ((film.target, film.name), (record, self._record_name(film))):
            if path.exists():
                self.results.upload(path, name)
                path.unlink()

    @contextmanager
    def _lock(self, film: Film) -> Iterator[None]:
        """Lock a film; in a storage there are no locks, so one run at a time may write there."""
        with nullcontext() if self.results else super()._lock(film):
            yield

    def _identity(self, film: Film) -> dict[str, Any]:
        if self.sources is None:
            return super()._identity(film)
        return self.sources.identity(film.source.relative_to(self.source_folder).as_posix())

    def _address(self, film: Film) -> str:
        """Return the path or address by which workers reach a source."""
        if self.sources is None:
            return str(film.source.absolute())
        name = film.source.relative_to(self.source_folder).as_posix()
        return f"{self.sources.address}/{name}"

    def _store(self, film: Film) -> Storage:
        """Return the folder for the finished segments of a film with the present options."""
        settings = json.dumps(self._settings(film), sort_keys=True).encode()
        return self._stores(film).below(sha256(settings).hexdigest()[:16])

    def _stores(self, film: Film) -> Storage:
        """Return the folder of the stores of a film, beside its record."""
        out = self.results.address if self.results else str(self.out.absolute())
        place, _, last = f"{out}/{FOLDER}/{film.name}".rpartition("/")
        return Storage(f"{place}/{short_name(last, '.segments')}")

    def _record_name(self, film: Film) -> str:
        """Return the name of a record in the storage of the results."""
        return record_path(self.out, film.name).relative_to(self.out).as_posix()

    def _count_pieces(self) -> int:
        """Return into how many pieces to divide the next film: more if few films are left."""
        return math.ceil(self.pool.size / max(1, self._unfinished))
