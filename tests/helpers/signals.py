"""Signals of processes that tests start."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_hangup = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")


@contextmanager
def default_signals() -> Iterator[None]:
    """Start processes in the block that do not ignore signals, as children of a test in the
    background would."""
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for name in ("SIGINT", "SIGTERM", "SIGHUP")
        if (number := getattr(signal, name, None))
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
