"""The connection to a Ray cluster, and the workers that it has room for."""

import logging
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from midframe.errors import ClusterError

DEFAULT_CORES = 4
"""Processor cores of a worker, or those of the smallest machine if it has fewer."""
REACH_SECONDS = 5.0
"""Timeout in seconds for the first connection to a cluster."""


@dataclass(frozen=True)
class WorkerAllocation:
    """How many workers a cluster runs, and the resources of each."""

    count: int
    cores: int
    """Processor cores of each worker."""
    gpus: int
    """Graphics cards of each worker: 0 or 1."""


@contextmanager
def cluster_connection(address: str) -> Iterator[None]:
    """Connect to a Ray cluster for the duration of a `with` block; an existing connection of this
    process is used, and stays open.

    Args:
        address: of the cluster, or "auto" for the one that this machine belongs to.

    Raises:
        ClusterError: there is none.
    """
    if address.startswith("ray://"):
        raise ClusterError(
            f"--ray {address}: run midframe on a machine of the cluster, and give --ray auto"
        )
    if ray.is_initialized():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _check_reachable(address)
        ray.init(
            address=address,
            namespace="midframe",
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise ClusterError(
            f"--ray {address}: no Ray cluster can be reached ({reason}): start one with "
            "`ray start --head`, or give its ADDRESS"
        ) from error
    signal.signal(signal.SIGTERM, handler)  # Ray's handler prints a stack and exits with status 15
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise an OSError or ValueError if nothing listens at an address; Ray itself tries that for
    minutes."""
    host, separator, port = address.rpartition(":")
    if separator:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()


def allocate_workers(cores: int | None) -> WorkerAllocation:
    """Return how many workers the connected cluster has room for: one for each GPU, or
    one for every few cores if there are none.

    Args:
        cores: of a worker; None for an equal part of the machine beside a GPU, and otherwise for
            `DEFAULT_CORES`.

    Raises:
        ClusterError: no machine has room for a worker.
    """
    return divide_machines([node["Resources"] for node in ray.nodes() if node["Alive"]], cores)


def divide_machines(machines: Sequence[Mapping[str, Any]], cores: int | None) -> WorkerAllocation:
    """Return how many workers machines have room for.

    Args:
        machines: the resources of each machine, with its numbers of cores ("CPU") and GPUs
            ("GPU").
        cores: as in `allocate_workers`.

    Raises:
        ClusterError: no machine has room for a worker.
    """
    resources = [(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in machines]
    with_gpus = [(cpus, gpus) for cpus, gpus in resources if gpus]
    if with_gpus:
        cores = cores or max(1, min(cpus // gpus for cpus, gpus in with_gpus))
        count = sum(min(gpus, cpus // cores) for cpus, gpus in with_gpus)
    else:
        cores = cores or min([DEFAULT_CORES, *(cpus for cpus, _ in resources if cpus)])
        count = sum(cpus // cores for cpus, _ in resources)
    if not count:
        raise ClusterError(
            f"no machine of the cluster has {cores} cores for a worker: give fewer --ray-cores"
        )
    return WorkerAllocation(count, cores, gpus=1 if with_gpus else 0)
