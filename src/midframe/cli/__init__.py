"""The command line: thin, one function a command. Nothing else prints or exits."""

import errno
import io
import logging
import signal
import sys
from types import FrameType
from typing import NoReturn

from midframe.cli import datasets, films, pictures, research
from midframe.cli.shared import app, err, one_line, print_line
from midframe.errors import MidframeError

__all__ = ["app", "datasets", "films", "main", "pictures", "research"]

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Statuses that shells show for the signals."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come: the work ends as after Ctrl-C."""


def main() -> NoReturn:
    """Run the command line.

    Status 0: done; 1: a MidframeError, in one line; 2: wrong usage; 130: interrupted (SIGINT); 143: ended by SIGTERM.
    """
    signals: list[int] = []

    def end(number: int, _: FrameType | None) -> NoReturn:
        signals.append(number)
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, end)
    _prepare_output()
    try:
        app(standalone_mode=True)
    except (MidframeError, ValueError) as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        extra = "export" if (error.name or "").startswith("onnx") else "train"
        _fail(f"this command needs {error.name}: pip install 'midframe[{extra}]'")
    except OSError as error:
        remedy = "choose a shorter name" if error.errno == errno.ENAMETOOLONG else "choose another place"
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}: {remedy}")
    except KeyboardInterrupt:
        _stop(signals)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer turns KeyboardInterrupt into this
            _stop(signals)
        raise
    sys.exit(0)


def _fail(text: str) -> NoReturn:
    print_line(err, f"midframe: {text}", style="red")
    sys.exit(1)


def _stop(signals: list[int]) -> NoReturn:
    print_line(err, "midframe: stopped")
    sys.exit(TERMINATED if signals else INTERRUPTED)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def _prepare_output() -> None:
    """Make every name of a file printable: in warnings too, and on terminals without Unicode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if logging.lastResort:
        logging.lastResort.setFormatter(_OneLine())
