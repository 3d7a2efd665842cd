"""The workers of a cluster, and the queue of pieces before them.

Each worker is a Ray actor, and a thread here waits for it. If a worker is lost, with its process or
its machine, its piece goes back into the queue, where another worker takes it; Ray starts the lost
worker again where there is room. Nothing but jobs and short answers passes through Ray, so its
object store is not used.
"""

import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Queue
from threading import Event, Lock, Thread
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from midframe.cluster.connection import Workers
from midframe.cluster.worker import Facts, PieceJob, Worker
from midframe.errors import ClusterError
from midframe.options import InterpolationOptions

log = logging.getLogger(__name__)

MAX_LOSSES = 5
"""How many workers a piece may lose before it fails: it may be what ends them."""
CLOSE_SECONDS = 2.0
"""Timeout in seconds for workers to delete their local copies."""
RESTART_SECONDS = 0.5
"""Seconds between two attempts to reach a lost worker."""


@dataclass
class _Call:
    """A job in the queue, and who waits for it."""

    job: PieceJob
    future: Future[None] = field(default_factory=Future)
    losses: int = 0


class Pool:
    """Workers of the connected cluster.

    Args:
        interpolation: how they interpolate.
        workers: how many, and of which size.
    """

    def __init__(self, interpolation: InterpolationOptions, workers: Workers) -> None:
        self.size = workers.count
        self._calls: Queue[_Call | None] = Queue()
        self._closed = Event()
        self._facts: Future[Facts] = Future()
        self._lock = Lock()
        actor: Any = ray.remote(Worker).options(
            num_cpus=workers.cores,
            num_gpus=workers.cards,
            max_restarts=-1,
            max_task_retries=0,  # a piece does not wait for its lost worker: another takes it
            scheduling_strategy="SPREAD",
        )
        self._actors = [actor.remote(interpolation, workers.cores) for _ in range(self.size)]
        for each in self._actors:
            Thread(target=self._serve, args=(each,), name="cluster worker", daemon=True).start()

    def facts(self) -> Facts:
        """Return the properties of the network, when the first worker has loaded it.

        Raises:
            MidframeError: it cannot be loaded.
        """
        return self._facts.result()

    def submit(self, job: PieceJob) -> Future[None]:
        """Queue a job; its future ends when all its segments are in the store.

        Its errors are those of `Worker.render`; a ClusterError if too many workers were lost on it.
        """
        call = _Call(job)
        self._calls.put(call)
        return call.future

    def close(self) -> None:
        """End all workers; those that wait delete their local copies before."""
        self._closed.set()
        closing = [each.close.remote() for each in self._actors]
        ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for each in self._actors:
            self._calls.put(None)
            ray.kill(each)

    def _serve(self, actor: Any) -> None:
        """Give jobs to a worker, one at a time, until the pool is closed."""
        while self._reach(actor):
            call = self._calls.get()
            if call is None:
                return
            # a piece whose worker was lost is running already
            if call.future.running() or call.future.set_running_or_notify_cancel():
                self._give(actor, call)

    def _reach(self, actor: Any) -> bool:
        """Wait until a worker is ready; return false if it cannot be used or the pool is closed."""
        while not self._closed.is_set():
            try:
                return self._accept(ray.get(actor.facts.remote()))
            except RayTaskError as error:
                self._refuse(error.cause)
                return False
            except RayError as error:
                log.debug("a worker is not ready: %s", error)
                time.sleep(RESTART_SECONDS)
        return False

    def _accept(self, facts: Facts) -> bool:
        """Return whether a worker has the network of the first one."""
        with self._lock:
            if not self._facts.done():
                self._facts.set_result(facts)
        if facts.identity == self._facts.result().identity:
            return True
        log.warning("a worker is not used, because its network or precision differs")
        return False

    def _refuse(self, error: Exception) -> None:
        """Report that a worker cannot load the network."""
        with self._lock:
            if not self._facts.done():
                self._facts.set_exception(error)
                return
        log.warning("a worker is not used: %s", error)

    def _give(self, actor: Any, call: _Call) -> None:
        """Let a worker do a job; if the worker is lost, queue the job again."""
        try:
            ray.get(actor.render.remote(call.job))
        except RayTaskError as error:
            call.future.set_exception(error.cause)
        except RayError as error:
            self._retry(call, error)
        else:
            call.future.set_result(None)

    def _retry(self, call: _Call, error: RayError) -> None:
        call.losses += 1
        reason = str(error).partition("\n")[0]
        if self._closed.is_set() or call.losses >= MAX_LOSSES:
            source = call.job.source
            call.future.set_exception(
                ClusterError(f"{call.losses} workers were lost on {source}; the last one: {reason}")
            )
            return
        log.warning("a worker was lost; another renders its segments (%s)", reason)
        self._calls.put(call)
