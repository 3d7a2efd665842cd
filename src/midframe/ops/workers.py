"""Threads that compute side by side, each with its share of the processor."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import TracebackType

import torch

_here = threading.local()


def worker() -> int:
    """Which of several workers this thread is, from 0. What would have to wait for another one is
    kept by this."""
    return getattr(_here, "number", 0)


class Workers(ThreadPoolExecutor):
    """So many threads that share PyTorch's threads among them; a context, left at once when
    something fails.

    What one thread computes alone wastes no time by waiting for others where it is hard to divide.
    """

    def __init__(self, number: int) -> None:
        self.number, self._all = number, torch.get_num_threads()
        numbers, share = count(), max(1, self._all // number)

        def begin() -> None:
            _here.number = next(numbers)
            torch.set_num_threads(share)  # of this thread, and of those that begin from now on

        super().__init__(number, "worker", begin)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(cancel_futures=True)
        torch.set_num_threads(self._all)  # of those that begin from now on
