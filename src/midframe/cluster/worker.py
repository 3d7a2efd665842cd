"""A worker: a process with one network, which renders pieces of results."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from midframe.cluster.scratch import Scratch, check_exists
from midframe.cluster.storage import Storage, is_address
from midframe.interpolator import Interpolator
from midframe.options import InterpolationOptions, VideoOptions
from midframe.process import limit_threads
from midframe.video.pieces import Piece, render_piece
from midframe.video.sinks.targets import SegmentedTarget, target_for

SUFFIX = ".segment"


@dataclass(frozen=True)
class ReportedNetwork:
    """The properties of a worker's network, as it reports them; a `NetworkProperties`."""

    identity: str
    depth: int | None
    options: InterpolationOptions


@dataclass(frozen=True)
class PieceJob:
    """A piece of a result, as it is sent to a worker."""

    source: str
    """Path or address of the source."""
    name: str
    """Of the result; only its suffix matters."""
    options: VideoOptions
    piece: Piece
    store: str
    """Path or address of the folder for finished segments."""


class Worker:
    """Renders pieces of results, one at a time.

    Args:
        interpolation: how frames are interpolated.
        cores: number of threads that compute.
    """

    def __init__(self, interpolation: InterpolationOptions, cores: int) -> None:
        limit_threads(cores)
        self._interpolation = interpolation

    @cached_property
    def interpolator(self) -> Interpolator:
        """Return the interpolator, which is loaded on first use."""
        return Interpolator.from_options(self._interpolation)

    @cached_property
    def scratch(self) -> Scratch:
        """Return the folder of local copies."""
        return Scratch()

    def network_properties(self) -> ReportedNetwork:
        """Return the properties of the network, without its device, which may differ between
        workers."""
        options = replace(self.interpolator.options, device=InterpolationOptions.device)
        return ReportedNetwork(self.interpolator.identity, self.interpolator.depth, options)

    def close(self) -> None:
        """Delete the local copies."""
        if "scratch" in self.__dict__:
            self.scratch.close()

    def render(self, job: PieceJob) -> None:
        """Render a piece; segments in the store are not rendered again.

        Raises:
            VideoError: the source or the store cannot be reached from this machine.
        """
        store = Storage(job.store)
        if not is_address(job.store):
            check_exists(Path(job.store))
        missing = sorted(set(job.piece.segments) - finished_segments(store))
        if not missing:
            return
        piece = replace(job.piece, segments=range(missing[0], job.piece.segments.stop))
        target = target_for(self.scratch.folder / job.name, job.options.encoding)
        assert isinstance(target, SegmentedTarget)
        path = self.scratch.source(job.source)

        def publish(number: int, file: Path) -> None:
            store.upload(file, segment_name(number))

        render_piece(
            path, target, self.interpolator, job.options, piece, self.scratch.folder, publish
        )


def segment_name(number: int) -> str:
    """Return the name of the file of a segment."""
    return f"{number:06d}{SUFFIX}"


def finished_segments(store: Storage) -> set[int]:
    """Return the numbers of the segments in a store."""
    names = (name for name in store.list() if name.endswith(SUFFIX) and not name.startswith("."))
    return {int(name.removesuffix(SUFFIX)) for name in names}
