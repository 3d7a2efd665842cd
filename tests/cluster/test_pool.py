"""The queue of the worker pool; test_cluster.py tests lost workers on a real cluster."""

from concurrent.futures import Future
from queue import Queue
from threading import Event, Lock
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.exceptions import RayError

from midframe.cluster import pool as pools
from midframe.cluster.pool import MAX_LOSSES, Pool
from midframe.cluster.worker import PieceJob, ReportedNetwork
from midframe.errors import ClusterError
from midframe.options import InterpolationOptions, VideoOptions
from midframe.video.pieces import EncoderState, Piece


def test_a_piece_that_crashes_every_worker_finally_fails() -> None:
    pool: Any = Pool.__new__(Pool)
    pool._calls, pool._closed = Queue(), Event()
    piece = Piece(range(1), EncoderState(1, b""), {})
    future = pool.submit(PieceJob("in.mp4", "out.mp4", VideoOptions(), piece, "store"))
    for _ in range(MAX_LOSSES):
        assert not future.done()
        pool._retry(pool._calls.get_nowait(), RayError("killed"))
    with pytest.raises(
        ClusterError, match=r"5 workers were lost while they rendered in\.mp4; the last one: killed"
    ):
        future.result(0)
    assert pool._calls.empty()
    assert pools.MAX_LOSSES == 5


def pool_without_workers(size: int) -> Any:
    pool: Any = Pool.__new__(Pool)
    pool.size, pool._refused = size, 0
    pool._network_properties, pool._lock = Future(), Lock()
    return pool


def test_the_pool_works_if_one_worker_cannot_load_the_network() -> None:
    pool = pool_without_workers(2)
    pool._refuse(ClusterError("weights are missing"))
    properties = ReportedNetwork("1a", None, InterpolationOptions())
    assert pool._accept(properties)
    assert pool.network_properties() == properties


def test_the_pool_fails_if_no_worker_can_load_the_network() -> None:
    pool = pool_without_workers(2)
    for _ in range(2):
        pool._refuse(ClusterError("weights are missing"))
    with pytest.raises(ClusterError, match="weights are missing"):
        pool.network_properties()
