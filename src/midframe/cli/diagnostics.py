"""Log messages of a command, and the report of an unexpected exception."""

import json
import logging
import re
import sys
import traceback
from pathlib import Path

import midframe
from midframe.cli.events import write_event
from midframe.cli.shared import err, one_line, print_line
from midframe.errors import OptionError

BUG_STATUS = 70
"""EX_SOFTWARE of sysexits.h; 2 is used for wrong usage."""
FILE_FORMAT = "%(asctime)s midframe %(levelname)s %(name)s: %(message)s"
FILE_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} midframe ")
"""Start of the first line in a log file of midframe."""

PACKAGE = Path(midframe.__file__).parent

logger = logging.getLogger("midframe")


class _OneLine(logging.Formatter):
    """Formats a record for a terminal: "midframe: warning: text"."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return one_line(f"midframe: {prefix}{record.getMessage()}")


class _JsonLine(logging.Formatter):
    """Formats a record as an event, see `midframe.cli.events`."""

    def format(self, record: logging.LogRecord) -> str:
        name = "warning" if record.levelno >= logging.WARNING else "log"
        return json.dumps({"event": name, "message": record.getMessage()})


class _LogFile(logging.FileHandler):
    """Writes a log file; where that fails, as on a full disk, reports it once and writes no more.

    A log is not worth the loss of the work, and by default every message is followed by a
    traceback.
    """

    failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if not self.failed:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """See `logging.Handler`."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            return super().handleError(record)
        self._report(error)

    def close(self) -> None:
        """See `logging.Handler`."""
        try:
            super().close()
        except OSError as error:  # what is buffered cannot be written either
            self._report(error)

    def _report(self, error: OSError) -> None:
        if not self.failed:
            self.failed = True
            name, reason = self.baseFilename, error.strerror or error
            print_line(
                err,
                f"midframe: warning: {name} cannot be written ({reason}); the log ends there",
            )


class Diagnostics:
    """The log handlers of a command; one object per run of the command line."""

    def __init__(self) -> None:
        self.debug = self.json = False
        self._level = logger.level
        self._handlers: list[logging.Handler] = []
        self._terminal = logging.StreamHandler(sys.stderr)
        self._terminal.setFormatter(_OneLine())
        self._terminal.setLevel(logging.WARNING)
        self._add(self._terminal)

    def configure(self, *, verbose: bool, debug: bool, log_file: Path | None) -> None:
        """Set the log levels and the log file.

        Args:
            verbose: print messages of level INFO too.
            debug: print messages of level DEBUG too, and the traceback of an error.
            log_file: file to which all messages are appended, with times.

        Raises:
            OptionError: the file is not a log file of midframe.
            OSError: it cannot be written.
        """
        self.debug = debug
        if verbose or debug:
            self._terminal.setLevel(logging.DEBUG if debug else logging.INFO)
        if log_file:
            check_log_file(log_file)
            to_file = _LogFile(log_file, encoding="utf-8", errors="backslashreplace")
            to_file.setFormatter(logging.Formatter(FILE_FORMAT))
            self._add(to_file)
        if verbose or debug or log_file:
            logger.setLevel(logging.DEBUG)

    def write_json(self) -> None:
        """Write messages to the terminal as lines of JSON from now on."""
        self.json = True
        self._terminal.setFormatter(_JsonLine())

    def report_error(self, error: Exception) -> None:
        """Print an error that the user can fix."""
        self._log_traceback(error)
        text = error.command_line_text if isinstance(error, OptionError) else str(error)
        if self.json:
            write_event("error", message=text)
            return
        print_line(err, f"midframe: {text}", style="red")

    def report_bug(self, error: Exception) -> None:
        """Print an unexpected exception, and how to report it as a bug."""
        self._log_traceback(error)
        frames = traceback.extract_tb(error.__traceback__)
        places = [each for each in frames if Path(each.filename).is_relative_to(PACKAGE)]
        place = f" in {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
        print_line(err, f"midframe: bug: {type(error).__name__}{place}: {error}", style="red")
        print_line(
            err,
            "This is an error in midframe, not in your input. Please report it with the command, "
            "the output of the same command as `midframe --debug ...`, and the output of "
            "`midframe doctor`.",
        )

    def close(self) -> None:
        """Stop logging."""
        for handler in self._handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(self._level)

    def _add(self, handler: logging.Handler) -> None:
        self._handlers.append(handler)
        logger.addHandler(handler)

    def _log_traceback(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        if self.debug:
            sys.stderr.write(text)
        for handler in self._handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(logger.makeRecord(logger.name, logging.ERROR, "", 0, text, (), None))


def check_log_file(path: Path) -> None:
    """Check that a log file is new, empty or a log of midframe, so that no other file is changed.

    Raises:
        OptionError: it is another file, or a folder.
    """
    if path.is_dir():
        raise OptionError(f"--log-file: {path} is a folder: name a file")
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        if not FILE_LINE.match(file.readline(200)):
            raise OptionError(
                f"--log-file: {path} exists and is not a log file of midframe: name another file"
            )
