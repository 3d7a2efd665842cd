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
class Workers:
    """The workers of a cluster."""

    count: int
    cores: int
    """Of each worker."""
    cards: int
    """Graphics cards of each worker: 0 or 1."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a Ray cluster in the block; a connection of this process that exists is used.

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
    signal.signal(signal.SIGTERM, handler)  # Ray's own prints a stack and ends with status 15
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


def count_workers(cores: int | None) -> Workers:
    """Return how many workers the connected cluster has room for: one for each graphics card, or
    one for every few cores if there are none.

    Args:
        cores: of a worker; None for 1 beside a card, and otherwise for `DEFAULT_CORES`.

    Raises:
        ClusterError: no machine has room for a worker.
    """
    return divide([node["Resources"] for node in ray.nodes() if node["Alive"]], cores)


def divide(machines: Sequence[Mapping[str, Any]], cores: int | None) -> Workers:
    """Return how many workers machines have room for.

    Args:
        machines: numbers of "CPU" and "GPU" of each.
        cores: as in `count_workers`.

    Raises:
        ClusterError: no machine has room for a worker.
    """
    sizes = [int(each.get("CPU", 0)) for each in machines]
    cards = [int(each.get("GPU", 0)) for each in machines]
    if any(cards):
        cores = cores or 1
        counts = [min(card, size // cores) for card, size in zip(cards, sizes, strict=True) if card]
        found = Workers(sum(counts), cores, 1)
    else:
        cores = cores or min([DEFAULT_CORES, *(size for size in sizes if size)])
        found = Workers(sum(size // cores for size in sizes), cores, 0)
    if not found.count:
        raise ClusterError(
            f"no machine of the cluster has {cores} cores for a worker: give fewer --ray-cores"
        )
    return found
