"""Folders that all machines of a cluster can reach: paths of a shared file system, and addresses
of fsspec, such as s3://bucket/films.

Code that must seek in a file works on a local copy. Files are uploaded under a temporary name and
then renamed, so each file is either complete or absent.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec.core

from midframe.errors import VideoError
from midframe.media.reading.sources import identity_of_file
from midframe.outputs import short_name

LOCAL = ("", "file", "local")
"""Protocols of local files."""


def is_address(text: str) -> bool:
    """Return whether a text is the address of a storage, and not the path of a local folder."""
    protocol, separator, _ = text.partition("://")
    return bool(separator) and protocol not in LOCAL


class Storage:
    """A folder by its path or address.

    Args:
        address: a path, or an address of fsspec.

    Raises:
        VideoError: here and in all methods, the storage cannot be read or written.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        with self._reported(self.address):
            # other machines change the files, so listings must not be kept
            system, root = fsspec.core.url_to_fs(self.address, use_listings_cache=False)
        self._system: Any = system
        self._root = str(root).rstrip("/")

    def below(self, name: str) -> "Storage":
        """Return a folder in this one."""
        return Storage(f"{self.address}/{name}")

    def create(self) -> None:
        """Create the folder; storages that have no folders, such as S3, ignore this."""
        with self._reported(self.address):
            self._system.makedirs(self._root, exist_ok=True)

    def exists(self, name: str = "") -> bool:
        """Return whether a file exists, or the folder itself."""
        with self._reported(name):
            return bool(self._system.exists(self._path(name)))

    def list(self) -> list[str]:
        """Return the names of the files in the folder; none if it does not exist."""
        with self._reported(self.address):
            try:
                found = self._system.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def find(self) -> dict[str, int]:
        """Return the sizes in bytes of all files below the folder, by their names."""
        with self._reported(self.address):
            found = self._system.find(self._root, detail=True)
        return {
            str(path).removeprefix(self._root).lstrip("/"): int(facts["size"])
            for path, facts in found.items()
        }

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        with self._reported(name):
            return int(self._system.size(self._path(name)))

    def identity(self, name: str) -> dict[str, Any]:
        """Return the identity of a source, reading only samples of it; see `identity_of`."""
        with self._reported(name), self._system.open(self._path(name), "rb") as file:
            return identity_of_file(file, int(file.size))

    def read_text(self, name: str) -> str:
        """Return the content of a small file."""
        with self._reported(name):
            return str(self._system.cat_file(self._path(name)).decode())

    def download(self, name: str, path: Path) -> None:
        """Copy a file to a local path; it appears there only when it is complete."""
        unfinished = path.with_name(short_name(f".{path.name}", ".part"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._reported(name):
            self._system.get_file(self._path(name), str(unfinished))
            unfinished.replace(path)

    def upload(self, path: Path, name: str) -> None:
        """Copy a local file into the folder; it appears there only when it is complete."""
        folder, _, last = self._path(name).rpartition("/")
        unfinished = f"{folder}/{short_name(f'.{last}', '.part')}"
        with self._reported(name):
            self._system.put_file(str(path), unfinished)
            self._system.mv(unfinished, f"{folder}/{last}")

    def remove(self) -> None:
        """Delete the folder with all files in it, if it exists."""
        with self._reported(self.address):
            if self._system.exists(self._root):
                self._system.rm(self._root, recursive=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Raise the errors of a storage as a VideoError."""
        where = name if name.startswith(self.address) else f"{self.address}/{name}".rstrip("/")
        try:
            yield
        except Exception as error:
            if not isinstance(error, (OSError, ImportError, ValueError, *_errors_of_clients())):
                raise
            reason = getattr(error, "strerror", None) or error
            raise VideoError(
                f"{where} cannot be read or written ({reason}): check the address, the rights and "
                "the free space"
            ) from error


def _errors_of_clients() -> tuple[type[Exception], ...]:
    """Return the exceptions of storage clients that are not OSErrors."""
    module = sys.modules.get("botocore.exceptions")
    return (module.BotoCoreError,) if module else ()
