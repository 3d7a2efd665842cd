"""Worker threads: their numbers, and their share of the processor."""

from threading import Barrier

import pytest
import torch

from midframe.ops.workers import Workers, worker


@pytest.mark.parametrize(("number", "share"), [(2, 3), (4, 1), (8, 1)])
def test_workers_are_numbered_and_divide_the_threads(number: int, share: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    barrier = Barrier(number)

    def look() -> tuple[int, int]:
        barrier.wait(timeout=60)
        return worker(), torch.get_num_threads()

    try:
        with Workers(number) as pool:
            assert pool.number == number
            found = [each.result() for each in [pool.submit(look) for _ in range(number)]]
        assert sorted(found) == [(index, share) for index in range(number)]
        with Workers(1) as pool:  # a pool that follows divides all of them again
            assert pool.submit(torch.get_num_threads).result() == 6
        assert worker() == 0
    finally:
        torch.set_num_threads(before)
