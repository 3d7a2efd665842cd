"""Options and preparation of work on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from midframe.cli.options import VideoRequest
from midframe.cli.parameters import CLUSTER
from midframe.cli.shared import err, print_line
from midframe.errors import OptionError
from midframe.models.shipped import find_weights

if TYPE_CHECKING:
    from midframe.cluster.batch import ClusterBatch

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="auto|ADDRESS",
        help="Spread the work over a Ray cluster.",
        rich_help_panel=CLUSTER,
    ),
]
RayCores = Annotated[
    int | None,
    typer.Option(
        "--ray-cores",
        metavar="N",
        min=1,
        help="CPU cores of a worker. One worker runs for each GPU, or, on a cluster without GPUs, "
        "for every N cores. If not given: 4, or, with GPUs, an equal part of the machine's cores.",
        rich_help_panel=CLUSTER,
    ),
]


@contextmanager
def open_executor(address: str | None) -> Iterator[Executor | None]:
    """Yield an executor on a cluster; None without an address."""
    if not address:
        yield None
        return
    from midframe.cluster.connection import cluster_connection
    from midframe.cluster.executor import RayExecutor

    with cluster_connection(address):
        yield RayExecutor()


@contextmanager
def open_cluster_batch(
    folder: str,
    target: str,
    request: VideoRequest,
    address: str,
    cores: int | None,
    *,
    watching: bool,
    overwrite: bool,
) -> Iterator[ClusterBatch]:
    """Yield a batch on a cluster; its workers end with the `with` block."""
    find_weights(request.interpolation.model)
    from midframe.cluster.storage import is_address

    if watching and is_address(folder):
        raise OptionError(f"--watch needs a folder, and {folder} is an address: drop it")
    from midframe.cluster.batch import ClusterBatch
    from midframe.cluster.connection import allocate_workers, cluster_connection
    from midframe.cluster.pool import Pool

    with cluster_connection(address):
        workers = allocate_workers(cores)
        each = "a GPU" if workers.gpus else f"cores: {workers.cores}"
        print_line(err, f"midframe: workers: {workers.count} ({each} for each)")
        pool = Pool(request.interpolation, workers)
        try:
            batch = ClusterBatch(
                folder, target, pool, request.interpolation, request.video, overwrite=overwrite
            )
            try:
                yield batch
            finally:
                batch.close()
        finally:
            pool.close()
