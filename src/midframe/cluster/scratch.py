"""Folders for local copies, which disappear with their process."""

import os
import shutil
import tempfile
from collections import OrderedDict
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from midframe.cluster.storage import Storage, is_address
from midframe.errors import VideoError
from midframe.video.lock import FolderLock

MAX_SOURCES = 2
"""Sources that a process keeps at a time."""


class Scratch:
    """A folder of this process, in the system's folder for temporary files (`TMPDIR`).

    Folders that killed processes have left are deleted.
    """

    def __init__(self) -> None:
        user = getattr(os, "getuid", int)()
        parent = Path(tempfile.gettempdir()) / f"midframe-scratch-{user}"
        parent.mkdir(exist_ok=True)
        for each in parent.iterdir():
            _remove_abandoned(each)
        self._lock = FolderLock(Path(tempfile.mkdtemp(dir=parent)))
        self.folder = self._lock.folder
        self._sources: OrderedDict[str, Path] = OrderedDict()

    def source(self, address: str) -> Path:
        """Return a local path of a source: itself, or a copy if it is in a storage.

        Raises:
            VideoError: it does not exist, or cannot be copied.
        """
        if not is_address(address):
            check_exists(Path(address))
            return Path(address)
        path = self._sources.pop(address, None)
        if path is None:
            while len(self._sources) >= MAX_SOURCES:
                shutil.rmtree(self._sources.popitem(last=False)[1].parent, ignore_errors=True)
            folder, _, name = address.rpartition("/")
            path = self.folder / sha256(address.encode()).hexdigest()[:16] / name
            Storage(folder).download(name, path)
        self._sources[address] = path
        return path

    def close(self) -> None:
        """Delete the folder."""
        self._lock.clear()
        self._lock.release()


def check_exists(path: Path) -> None:
    """Raise a VideoError unless a path of a shared file system exists on this machine."""
    if not path.exists():
        raise VideoError(
            f"{path} does not exist on this machine: all machines need the same folders, or "
            "addresses such as s3://"
        )


def _remove_abandoned(folder: Path) -> None:
    """Delete a folder if no process has locked it."""
    with suppress(OSError):
        lock = FolderLock(folder)
        lock.clear()
        lock.release()
