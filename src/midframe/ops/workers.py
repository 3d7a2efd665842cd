"""Worker threads that compute in parallel, each with its share of the processor."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import TracebackType

import torch

_here = threading.local()


def worker() -> int:
    """Index of this thread among several workers, from 0. Resources that workers cannot share are
    kept by index."""
    return getattr(_here, "number", 0)


class Workers(ThreadPoolExecutor):
    """A pool of threads that divide PyTorch's threads among them; a context, left at once after an
    error.

    Small operations are hard to divide: a thread that computes alone wastes no time by waiting for
    others.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._all = torch.get_num_threads()
        numbers = count()
        share = max(1, self._all // number)

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
