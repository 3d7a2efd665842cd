"""Functions as tasks of a Ray cluster, behind the interface of Python's executors."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import ray
from ray.exceptions import RayTaskError

MAX_RETRIES = 3
"""How often a task is restarted when its process or machine is lost."""


class RayExecutor(Executor):
    """Runs functions on the connected cluster, each on one core.

    Arguments and results should be small: they pass through Ray.
    """

    def __init__(self) -> None:
        self._running: dict[Any, Future[Any]] = {}

    def submit(self, function: Callable[..., Any], /, *values: Any, **named: Any) -> Future[Any]:
        """Start a task; its future ends with the result or the exception of the function."""
        task: Any = ray.remote(function).options(
            num_cpus=1, max_retries=MAX_RETRIES, scheduling_strategy="SPREAD"
        )
        reference = task.remote(*values, **named)
        future: Future[Any] = Future()
        self._running[reference] = future
        reference.future().add_done_callback(lambda done: _pass_on(done, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel the tasks that have not finished, if `cancel_futures` is set."""
        if cancel_futures:
            for reference, future in self._running.items():
                if not future.done():
                    ray.cancel(reference)
        if wait and self._running:
            ray.wait(list(self._running), num_returns=len(self._running))


def _pass_on(done: Future[Any], future: Future[Any]) -> None:
    """Copy the result of Ray's future `done` to `future`, or the exception that the function
    raised."""
    error = done.exception()
    if isinstance(error, RayTaskError):
        error = error.cause
    if error is None:
        future.set_result(done.result())
    else:
        future.set_exception(error)
