"""The queue before the workers; lost workers on a real cluster are in test_cluster.py."""

from queue import Queue
from threading import Event
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.exceptions import RayError

from midframe.cluster import pool as pools
from midframe.cluster.pool import MAX_LOSSES, Pool
from midframe.cluster.worker import PieceJob
from midframe.errors import ClusterError
from midframe.options import VideoOptions
from midframe.video.pieces import EncoderState, Piece


def test_a_piece_that_ends_every_worker_fails_in_the_end() -> None:
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
