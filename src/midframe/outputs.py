"""Output files: checked before the work, written atomically, and never over an input."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from midframe.errors import MidframeError, VideoError

MAX_NAME = 255
"""Bytes of a file name on common file systems."""


def check_output_file(
    path: Path,
    *,
    inputs: Iterable[Path] = (),
    overwrite: bool,
    error: type[MidframeError] = VideoError,
) -> None:
    """Check that a file can be written, before the work on it begins.

    Args:
        path: of the output.
        inputs: files and folders that must not be overwritten; missing ones are ignored.
        overwrite: whether an existing file may be replaced.
        error: type of the exception.

    Raises:
        MidframeError: the path is an input, a folder or a device, exists without `overwrite`, or
            its folder is missing or cannot be written to.
    """
    _check_no_input(path, inputs, error)
    if path.is_dir():
        raise error(f"{path} is a folder: name a file")
    if path.exists() and not path.is_file():
        raise error(f"{path} is not a regular file: name another")
    if path.exists() and not overwrite:
        raise error(f"{path} exists: name another output, or give --overwrite")
    if not path.parent.is_dir():
        raise error(f"{path.parent} is not a folder: make it first, or name another output")
    _check_writable(path, path.parent, error)


def check_output_folder(
    path: Path, *, inputs: Iterable[Path] = (), error: type[MidframeError] = VideoError
) -> None:
    """Check that files can be written into a folder, which need not exist yet.

    Args:
        path: of the folder.
        inputs: files and folders that must not be overwritten; missing ones are ignored.
        error: type of the exception.

    Raises:
        MidframeError: the path is an input or a file; or the folder, or its nearest existing
            parent, cannot be written to.
    """
    _check_no_input(path, inputs, error)
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise error(f"{place} is a file: name a folder")
    _check_writable(path, place, error)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside the final one, and rename it when the block ends without an
    error.

    A link remains, and leads to the new file. The file has the default permissions of new files,
    even if its writer sets others.

    Raises:
        OSError: the file cannot be written.
    """
    path = real_path(path)
    unfinished = unfinished_path(path)
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch()
        mode = unfinished.stat().st_mode
        yield unfinished
        unfinished.chmod(mode)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def real_path(path: Path) -> Path:
    """Return the path that a link leads to, or another path as it is.

    A renamed file would replace the link, and be on another disk than the one chosen by it. Links
    to another suffix, as into stores that name files by their hashes, are not followed.
    """
    if not path.is_symlink():
        return path
    try:
        found = path.resolve()
    except (OSError, RuntimeError):  # a loop
        return path
    return path if found.is_symlink() or found.suffix != path.suffix else found


def unfinished_path(path: Path) -> Path:
    """Return the temporary path of a file while it is written: a hidden file in the same folder."""
    return path.with_name(short_name(f".{path.name}", ".part"))


def short_name(name: str, ending: str) -> str:
    """Append an ending to a name; a name that would be too long for file systems is replaced by its
    hash."""
    if len(os.fsencode(name + ending)) <= MAX_NAME:
        return name + ending
    return f"{'.' * name.startswith('.')}{sha256(os.fsencode(name)).hexdigest()[:16]}{ending}"


def same_place(first: Path, second: Path) -> bool:
    """Return whether two paths are the same file or folder; false if either does not exist."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def _check_no_input(path: Path, inputs: Iterable[Path], error: type[MidframeError]) -> None:
    for each in inputs:
        if same_place(path, each):
            name = path if str(path) == str(each) else f"{path} ({each})"
            raise error(f"{name} is an input: name another output")


def _check_writable(path: Path, folder: Path, error: type[MidframeError]) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as reason:
        raise error(
            f"{path} cannot be written ({reason.strerror}): choose another place for OUT"
        ) from reason
