"""Signals that end a training between two steps, so that nothing is lost."""

import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Of Ctrl-C, of `kill` and schedulers, and of a terminal that is closed; Windows lacks the last."""


class Interruption:
    """Records one of `SIGNALS` while it is entered; a second one has its usual effect at once.

    Only the main thread of a process receives signals: in others nothing is recorded. Signals that
    are ignored, as in a job of the background, stay so.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        """The signal that was received."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
            self._before = {each: signal.signal(each, self._record) for each in heeded}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def send_again(self) -> None:
        """Give the signal that was received its usual effect."""
        signal.raise_signal(self.signal or signal.SIGINT)

    def _record(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            self.__exit__()
            self.send_again()
        self.signal = number
        log.warning("stopping after this step, to write a checkpoint; interrupt again to stop now")


def leave_signals_to_parent(_: int) -> None:
    """Let a process that loads data ignore signals, and end without an error at SIGTERM, by which
    its parent ends it: signals may reach all processes of a training at once, and PyTorch raises an
    error if a worker fails."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
