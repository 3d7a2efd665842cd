"""Command lines in forked processes that have everything imported."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

PRELOADED = ["midframe.__main__", "midframe.video.pipeline", "midframe.models.sepconv", "pytest"]
"""Modules that are imported once for all processes."""


class ForkedCommand:
    """A command line of midframe in a process that is forked from one with its modules imported.

    Importing takes longer than the work of a small test. Such a process can be killed as any other;
    its methods and attributes are those of `subprocess.Popen`.

    Args:
        words: of the command line, after the name of the program.
        environment: variables that are added to those of this process.
    """

    def __init__(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._folder = TemporaryDirectory(prefix="midframe-command-")
        self._outputs = [Path(self._folder.name) / name for name in ("output", "errors")]
        given = {**os.environ, **(environment or {})}
        self._process = context.Process(
            target=_run, args=(words, [str(path) for path in self._outputs], given)
        )
        self._process.start()
        self._ended: tuple[bytes, bytes] | None = None
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs."""
        if self._ended is None:
            return self._process.exitcode
        return self.returncode

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self._ended is None:
            self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Wait for the end of the process; return standard output and standard error.

        Raises:
            subprocess.TimeoutExpired: it runs longer than a number of seconds.
        """
        if self._ended is None:
            self._process.join(timeout)
            if self._process.exitcode is None:
                raise subprocess.TimeoutExpired("midframe", timeout or 0)
            self.returncode = self._process.exitcode
            output, errors = (path.read_bytes() if path.exists() else b"" for path in self._outputs)
            self._ended = output, errors
            self._process.close()
            self._folder.cleanup()
        return self._ended


def _run(words: list[str], outputs: list[str], environment: dict[str, str]) -> None:
    """Run a command line in the forked process."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.argv = ["midframe", *words]
    from midframe.cli import main

    main()
