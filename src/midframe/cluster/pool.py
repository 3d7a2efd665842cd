"""The workers of a cluster, and the queue of pieces that they render.

Each worker is a Ray actor, and a thread here waits for it. If a worker is lost, with its process or
its machine, its piece goes back into the queue for another worker, and Ray restarts the lost worker
where there is room. Only jobs and short answers pass through Ray, so its object store is not used.
"""

import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Queue
from threading import Event, Lock, Thread
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from midframe.cluster.connection import WorkerAllocation
from midframe.cluster.worker import PieceJob, ReportedNetwork, Worker
from midframe.errors import ClusterError
from midframe.options import InterpolationOptions

log = logging.getLogger(__name__)

MAX_LOSSES = 5
"""After how many lost workers a piece fails, because the piece itself may crash them."""
CLOSE_SECONDS = 2.0
"""Timeout in seconds for workers to delete their local copies."""
RESTART_SECONDS = 0.5
"""Seconds between two attempts to reach a lost worker."""


@dataclass
class _Call:
    """A job in the queue, and the future that its caller waits for."""

    job: PieceJob
    future: Future[None] = field(default_factory=Future)
    losses: int = 0


class Pool:
    """Workers of the connected cluster.

    Args:
        interpolation: how they interpolate.
        workers: how many, and of which size.
    """

    def __init__(self, interpolation: InterpolationOptions, workers: WorkerAllocation) -> None:
        self.size = workers.count
        self._calls: Queue[_Call | None] = Queue()
        self._closed = Event()
        self._network_properties: Future[ReportedNetwork] = Future()
        self._refused = 0
        """Number of workers that cannot be used."""
        self._lock = Lock()
        actor: Any = ray.remote(Worker).options(
            num_cpus=workers.cores,
            num_gpus=workers.gpus,
            max_restarts=-1,
            max_task_retries=0,  # a piece does not wait for its lost worker: another takes it
            scheduling_strategy="SPREAD",
        )
        self._actors = [actor.remote(interpolation, workers.cores) for _ in range(self.size)]
        for each in self._actors:
            Thread(target=self._serve, args=(each,), name="cluster worker", daemon=True).start()

    def network_properties(self) -> ReportedNetwork:
        """Return the properties of the network, when the first worker has loaded it.

        Raises:
            MidframeError: no worker can load it.
        """
        return self._network_properties.result()

    def submit(self, job: PieceJob) -> Future[None]:
        """Queue a job; the returned future is done when all its segments are in the store.

        The future raises the errors of `Worker.render`, or a ClusterError if too many workers were
        lost while they rendered the piece.
        """
        call = _Call(job)
        self._calls.put(call)
        return call.future

    def close(self) -> None:
        """End all workers; idle ones delete their local copies first."""
        self._closed.set()
        closing = [each.close.remote() for each in self._actors]
        ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for each in self._actors:
            self._calls.put(None)
            ray.kill(each)

    def _serve(self, actor: Any) -> None:
        """Give jobs to a worker, one at a time, until the pool is closed."""
        try:
            self._give_jobs(actor)
        except Exception as error:
            self._refuse(error)

    def _give_jobs(self, actor: Any) -> None:
        while self._reach(actor):
            call = self._calls.get()
            if call is None:
                return
            # the future of a piece whose worker was lost is already marked as running
            if call.future.running() or call.future.set_running_or_notify_cancel():
                self._give(actor, call)

    def _reach(self, actor: Any) -> bool:
        """Wait until a worker is ready; return false if it cannot be used or the pool is closed."""
        while not self._closed.is_set():
            try:
                return self._accept(ray.get(actor.network_properties.remote()))
            except RayTaskError as error:
                self._refuse(error.cause)
                return False
            except ActorDiedError as error:  # the worker failed to start, so Ray gives up
                if not self._closed.is_set():
                    self._refuse(ClusterError(f"a worker cannot be started: {error}"))
                return False
            except RayError as error:
                log.debug("a worker is not ready: %s", error)
                time.sleep(RESTART_SECONDS)
        return False

    def _accept(self, facts: ReportedNetwork) -> bool:
        """Return whether a worker has the network of the first one."""
        with self._lock:
            if not self._network_properties.done():
                self._network_properties.set_result(facts)
        if facts.identity == self._network_properties.result().identity:
            return True
        log.warning("a worker is not used, because its network or precision differs")
        return False

    def _refuse(self, error: Exception) -> None:
        """Report that a worker cannot be used; if it is the last one, so is the network."""
        with self._lock:
            self._refused += 1
            if self._refused == self.size and not self._network_properties.done():
                self._network_properties.set_exception(error)
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
                ClusterError(
                    f"{call.losses} workers were lost while they rendered {source}; the last one: "
                    f"{reason}"
                )
            )
            return
        log.warning("a worker was lost; another renders its segments (%s)", reason)
        self._calls.put(call)
