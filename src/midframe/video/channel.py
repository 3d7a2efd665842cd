"""Threads joined by short queues, which also pass on failures and the end of the data."""

from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

QUEUE_LENGTH = 8
POLL_SECONDS = 0.2
"""Seconds between two checks of a waiting thread whether another has failed."""
JOIN_SECONDS = 30.0
"""Timeout in seconds for the end of a thread after the work has failed or was stopped."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Channel(Generic[Item]):
    """A short queue between two threads, which also passes on a failure.

    Args:
        stop: event that ends both threads.
        check: called while the sender waits for space; its exceptions end the sender.
    """

    def __init__(self, stop: Event, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._queue: Queue[Item | None] = Queue(QUEUE_LENGTH)
        self._stop = stop
        self.failure: BaseException | None = None

    def send(self, item: Item | None) -> None:
        """Send an item, waiting for space; None ends the channel."""
        while True:
            self.raise_failure()
            if self._stop.is_set():
                raise Stopped
            try:
                return self._queue.put(item, timeout=POLL_SECONDS)
            except Full:
                self._check()

    def send_all(self, items: Iterable[Item]) -> None:
        """Send all items, then end the channel."""
        for item in items:
            self.send(item)
        self.send(None)

    def __iter__(self) -> Iterator[Item]:
        while True:
            self.raise_failure()
            try:
                item = self._queue.get(timeout=POLL_SECONDS)
            except Empty:
                if self._stop.is_set():
                    raise Stopped from None
                continue
            if item is None:
                return
            yield item

    def raise_failure(self) -> None:
        """Raise the exception of the thread on the other side."""
        if self.failure:
            raise self.failure


class Stopped(Exception):  # noqa: N818  # not an error: another thread ended the work
    """The work ends because another thread failed or was interrupted."""


def guard(stop: Event, channel: Channel[Any], work: Callable[[], None]) -> None:
    """Run the work of a thread; pass its exception to the main thread by its channel."""
    try:
        work()
    except Stopped:
        pass
    except BaseException as error:
        channel.failure = error


def run_threads(
    items: Iterable[Item],
    work: Callable[[Iterable[Item]], Iterable[Result]],
    write: Callable[[Iterable[Result]], None],
    check: Callable[[], None],
    interrupt: Callable[[], None],
) -> None:
    """Iterate over items in one thread, process them in this one, and write the results in a third.

    Args:
        items: iterated in a separate thread.
        work: converts items to results, lazily.
        write: consumes the results, in a separate thread.
        check: called while this thread waits for `write`; its exceptions end the work.
        interrupt: called at the end, so that the iteration over items does not wait any longer.
    """
    stop = Event()
    incoming: Channel[Item] = Channel(stop)
    outgoing: Channel[Result] = Channel(stop, check)
    reader = _thread("reader", stop, incoming, lambda: incoming.send_all(items))
    writer = _thread("writer", stop, outgoing, lambda: write(outgoing))
    try:
        outgoing.send_all(work(incoming))
        while writer.is_alive():
            writer.join(POLL_SECONDS)
            check()
        outgoing.raise_failure()
    finally:
        stop.set()
        interrupt()
        for thread in (reader, writer):
            # with a timeout, because a call into a library may never return
            thread.join(JOIN_SECONDS)


def _thread(name: str, stop: Event, channel: Channel[Any], work: Callable[[], None]) -> Thread:
    """Start a thread; a channel passes on its failure."""
    thread = Thread(target=guard, args=(stop, channel, work), name=name, daemon=True)
    thread.start()
    return thread
