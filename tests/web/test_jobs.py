"""Jobs run one at a time, report progress, and can be cancelled."""

import errno
import logging
import threading
from collections.abc import Iterator

import pytest

from midframe.errors import OptionError, SourceError
from midframe.web import jobs
from midframe.web.jobs import INTERNAL_ERROR, Job, JobQueue, QueueFullError, public_text

LONG = 30.0
"""Timeout of a test in seconds."""


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(max_waiting=2)
    yield queue
    queue.close()


class Blocker:
    """Work that blocks until it is released or cancelled."""

    def __init__(self) -> None:
        self.started, self.released = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> str:
        self.started.set()
        while not self.released.wait(0.01):
            job.report(1, 10)
        return "result"


def test_a_job_returns_its_result(queue: JobQueue) -> None:
    job = queue.submit(lambda job: job.report(3, 4) or "result", "anna")
    assert job.wait(LONG)
    assert (job.status, job.result, job.message) == ("done", "result", "")
    assert (job.progress.done, job.progress.total) == (3, 4)


def test_jobs_run_one_at_a_time_in_order(queue: JobQueue) -> None:
    order, running = [], []

    def work(name: str) -> None:
        running.append(name)
        assert len(running) == 1
        order.append(name)
        running.pop()

    blocker = Blocker()
    first = queue.submit(blocker, "anna")
    assert blocker.started.wait(LONG)
    others = [queue.submit(lambda _, n=name: work(n), name) for name in ("ben", "carl")]
    assert [queue.jobs_before(job) for job in (first, *others)] == [0, 1, 2]
    blocker.released.set()
    assert all(job.wait(LONG) for job in others)
    assert order == ["ben", "carl"]


def test_a_full_queue_refuses_a_job_with_a_clear_message(queue: JobQueue) -> None:
    blocker = Blocker()
    queue.submit(blocker, "anna")
    assert blocker.started.wait(LONG)
    for owner in ("ben", "carl"):
        queue.submit(lambda _: None, owner)
    with pytest.raises(QueueFullError, match="the queue is full: 2 jobs are waiting"):
        queue.submit(lambda _: None, "dora")


def test_one_owner_cannot_fill_the_queue(queue: JobQueue) -> None:
    blocker = Blocker()
    queue.submit(blocker, "anna")
    assert blocker.started.wait(LONG)
    queue.submit(blocker, "anna")
    with pytest.raises(QueueFullError, match="your last job is not finished"):
        queue.submit(blocker, "anna")
    queue.submit(lambda _: None, "ben")


def test_a_cancelled_job_stops_when_it_next_reports_progress(queue: JobQueue) -> None:
    blocker = Blocker()
    job = queue.submit(blocker, "anna")
    assert blocker.started.wait(LONG)
    queue.cancel(job)
    assert job.wait(LONG)
    assert (job.status, job.message) == ("cancelled", "")


def test_a_waiting_job_is_cancelled_at_once(queue: JobQueue) -> None:
    blocker, ran = Blocker(), []
    queue.submit(blocker, "anna")
    assert blocker.started.wait(LONG)
    job = queue.submit(lambda _: ran.append(1), "ben")
    queue.cancel_all("ben")
    assert job.status == "cancelled"
    blocker.released.set()
    assert queue.submit(lambda _: None, "carl").wait(LONG)
    assert ran == []


def test_the_message_of_a_source_error_is_shown_verbatim(queue: JobQueue) -> None:
    def work(_: Job) -> None:
        raise SourceError("the file is no video")

    job = queue.submit(work, "anna")
    assert job.wait(LONG)
    assert (job.status, job.message) == ("failed", "the file is no video")


def test_a_bug_is_logged_and_not_shown(queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    def work(_: Job) -> None:
        raise KeyError("/secret/path")

    with caplog.at_level(logging.ERROR):
        job = queue.submit(work, "anna")
        assert job.wait(LONG)
    assert job.message == INTERNAL_ERROR
    assert "/secret/path" in caplog.text


def test_the_queue_continues_after_a_failed_job(queue: JobQueue) -> None:
    def work(_: Job) -> None:
        raise MemoryError

    failed = queue.submit(work, "anna")
    assert failed.wait(LONG)
    assert "out of memory" in failed.message
    assert queue.submit(lambda _: 1, "anna").wait(LONG)


def test_a_closed_queue_cancels_all_jobs_and_accepts_none() -> None:
    queue, blocker = JobQueue(), Blocker()
    jobs = [queue.submit(blocker, owner) for owner in ("anna", "ben")]
    assert blocker.started.wait(LONG)
    queue.close()
    assert [job.status for job in jobs] == ["cancelled", "cancelled"]
    with pytest.raises(QueueFullError, match="stopping"):
        queue.submit(blocker, "anna")


def test_a_closed_queue_can_be_closed_again_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "CLOSE_SECONDS", 0.05)
    queue, started, released = JobQueue(), threading.Event(), threading.Event()
    job = queue.submit(
        lambda _: started.set() or released.wait(LONG), "anna"
    )  # cannot be cancelled
    assert started.wait(LONG)
    queue.close()
    monkeypatch.setattr(jobs, "CLOSE_SECONDS", LONG)
    queue.close()
    assert not job.finished
    released.set()
    assert job.wait(LONG)


def test_an_option_in_a_message_is_replaced_by_the_label_of_its_field() -> None:
    assert public_text(OptionError("`start` is 9: x")) == "From is 9: x"


def test_a_full_disk_is_explained() -> None:
    assert "disk is full" in public_text(OSError(errno.ENOSPC, "No space left on device"))


def test_the_log_states_the_cause_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    assert public_text(KeyError("pixel")) == INTERNAL_ERROR
    assert caplog.messages == ["a job failed: KeyError: 'pixel'"]
