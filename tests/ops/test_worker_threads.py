"""Worker threads: numbering, PyTorch threads and shutdown."""

from concurrent.futures import Future
from threading import Barrier, Event, Thread

import pytest
import torch

from midframe.ops.workers import Workers, worker_index


@pytest.mark.parametrize(("number", "threads"), [(2, 3), (4, 1), (8, 1)])
def test_workers_are_numbered_and_share_the_pytorch_threads(number: int, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    barrier = Barrier(number)
    later: list[int] = []

    def state() -> tuple[int, int]:
        barrier.wait(timeout=60)
        return worker_index(), torch.get_num_threads()

    try:
        with Workers(number) as pool:
            assert pool.number == number
            states = [each.result() for each in [pool.submit(state) for _ in range(number)]]
        assert sorted(states) == [(index, threads) for index in range(number)]
        assert worker_index() == 0
        thread = Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [6]
    finally:
        torch.set_num_threads(before)


def test_after_an_error_running_calls_finish_and_waiting_ones_are_cancelled() -> None:
    started, may_end = Event(), Event()
    calls: list[Future[None]] = []

    def wait() -> None:
        started.set()
        may_end.wait(timeout=60)

    def fail() -> None:
        with Workers(1) as pool:
            calls.extend([pool.submit(wait), pool.submit(wait)])
            started.wait(timeout=60)
            calls[1].add_done_callback(lambda _: may_end.set())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert calls[0].done()
    assert calls[1].cancelled()
