"""A lock on a folder, which one process at a time can hold."""

import errno
import os
import shutil
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LOCK_FILE = "lock"
LOCKED_ERRORS = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
"""Errors for a lock that another process holds."""


class FolderLock:
    """A lock on a folder, which is created if it does not exist.

    The operating system releases it when the process ends in any way.

    Args:
        folder: to lock, in an existing folder.

    Raises:
        BlockingIOError: it is locked already, by another process or this one.
        OSError: the folder cannot be created or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / LOCK_FILE
        self._file = self._try_lock()
        while not self._is_current():  # the previous owner has removed the folder meanwhile
            os.close(self._file)
            self._file = self._try_lock()

    def clear(self, but: Collection[str] = ()) -> None:
        """Delete everything in the folder except some names; errors are ignored."""
        paths: list[Path] = []
        with suppress(OSError):  # the folder may be gone, which caused the error that is handled
            paths += self.folder.iterdir()
        for path in paths:
            if path.name in (LOCK_FILE, *but):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()

    def release(self) -> None:
        """Release the lock, and delete the folder if nothing else is in it."""
        with suppress(OSError):  # Windows deletes no file that is open
            self._path.unlink()
        os.close(self._file)
        if sys.platform == "win32":
            with suppress(OSError):
                self._path.unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _try_lock(self) -> int:
        while True:
            self.folder.mkdir(exist_ok=True)
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                break
            except FileNotFoundError:
                continue  # the folder has just been removed
        try:
            _lock(file)
        except OSError as error:
            if error.errno in LOCKED_ERRORS:
                os.close(file)
                raise BlockingIOError(f"{self.folder} is locked") from error
        return file  # some network file systems have no locks

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False


def _lock(file: int) -> None:
    """Lock an open file without waiting."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
