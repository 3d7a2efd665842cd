"""Worker threads that compute in parallel and divide PyTorch's threads among them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import TracebackType

import torch

_here = threading.local()


def worker_index() -> int:
    """Return the index of this thread among the workers, from 0, for resources that workers cannot
    share."""
    return getattr(_here, "number", 0)


class Workers(ThreadPoolExecutor):
    """A pool of threads that divide PyTorch's threads among them. Used in a `with` block, which
    does not wait for queued work after an error.

    Small operations are hard to divide: a thread that computes alone wastes no time by waiting for
    others.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._all = torch.get_num_threads()
        numbers = count()
        threads_each = max(1, self._all // number)

        def begin() -> None:
            _here.number = next(numbers)
            torch.set_num_threads(threads_each)  # for this thread, and threads that start later

        super().__init__(number, "worker", begin)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown(cancel_futures=True)
        torch.set_num_threads(self._all)  # for threads that start later
