"""The command line: one short function per command. Only this package prints and exits."""

import errno
import io
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from midframe.cli import batch, datasets, image, presets, research, video, web
from midframe.cli.config import move_global_options_first
from midframe.cli.diagnostics import BUG_STATUS, Diagnostics
from midframe.cli.shared import app, err, one_line, print_line
from midframe.errors import MidframeError, OptionError, lacks_memory
from midframe.extras import extra_of

__all__ = ["app", "batch", "datasets", "image", "main", "presets", "research", "video", "web"]

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after SIGINT, as shells report it."""
ENDING_SIGNALS = ("SIGTERM", "SIGHUP")
"""Signals that end the work as Ctrl-C does. Terminals send SIGHUP when they are closed; Windows has
none."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP was received: the work ends as after Ctrl-C."""


def main() -> NoReturn:
    """Run the command line.

    Exit status: 0 for success; 1 for an error that the user can fix (`MidframeError`,
    `OptionError`, a file that cannot be written); 2 for wrong usage; 70 for any other exception,
    which is a bug of midframe; 129, 130 and 143 after SIGHUP, SIGINT and SIGTERM.
    """
    signals: list[int] = []

    def end(number: int, _: FrameType | None) -> NoReturn:
        signals.append(number)
        raise Terminated

    for name in ENDING_SIGNALS:
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as after nohup
            signal.signal(number, end)
    _prepare_output()
    diagnostics = Diagnostics()
    try:
        _check_current_folder()
        if "" in sys.argv[1:]:  # as a path it would be the current folder
            raise OptionError("an argument is empty: check the variables of your command")
        words = move_global_options_first(sys.argv[1:])
        app(args=words, prog_name="midframe", standalone_mode=True, obj=diagnostics)
    except KeyboardInterrupt:
        _exit_interrupted(signals)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer turns KeyboardInterrupt into this
            _exit_interrupted(signals)
        raise
    except Exception as error:
        sys.exit(_report(error, diagnostics))
    finally:
        diagnostics.close()
    sys.exit(0)


def _check_current_folder() -> None:
    """Raise a MidframeError if the current folder was deleted: libraries of PyTorch then end the
    process."""
    try:
        Path.cwd()
    except OSError as error:
        raise MidframeError(
            "the current folder was deleted: change to another one, as in cd ~"
        ) from error


def _report(error: Exception, diagnostics: Diagnostics) -> int:
    """Print an error; return the exit status."""
    if isinstance(error, MidframeError | OptionError):
        diagnostics.report_error(error)
    elif isinstance(error, ModuleNotFoundError) and _is_of_other_package(error):
        extra = extra_of(str(error.name).partition(".")[0])
        diagnostics.report_error(
            MidframeError(f"this command needs {error.name}: pip install 'midframe[{extra}]'")
        )
    elif isinstance(error, OSError) and error.errno is not None and _concerns_file(error):
        remedy = (
            "choose a shorter name" if error.errno == errno.ENAMETOOLONG else "choose another place"
        )
        text = f"{error.filename or 'a file'}: {error.strerror or error}: {remedy}"
        diagnostics.report_error(MidframeError(text).with_traceback(error.__traceback__))
    elif lacks_memory(error):
        text = "out of memory: choose a smaller --tile or a larger --scale, or close other programs"
        diagnostics.report_error(MidframeError(text).with_traceback(error.__traceback__))
    else:
        diagnostics.report_bug(error)
        return BUG_STATUS
    return 1


def _is_of_other_package(error: ModuleNotFoundError) -> bool:
    """Return whether the missing module belongs to a library, and not to midframe itself."""
    return error.name is not None and not error.name.startswith("midframe")


def _concerns_file(error: OSError) -> bool:
    """Return whether an error concerns a file or a disk. FFmpeg raises an OSError for the content
    of a stream too."""
    if not type(error).__module__.startswith("av."):
        return True
    from midframe.media.streams.output_streams import OUTPUT_ERRORS

    return bool(error.filename) or error.errno in OUTPUT_ERRORS


def _exit_interrupted(signals: list[int]) -> NoReturn:
    print_line(err, "midframe: interrupted")
    sys.exit(128 + signals[0] if signals else INTERRUPTED)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def _prepare_output() -> None:
    """Escape characters that a terminal cannot print, and put log messages of other libraries on
    one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if logging.lastResort:
        logging.lastResort.setFormatter(_OneLine())
