"""Folders: the files below them, and which are not hidden."""

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)


def visible_files(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return the paths below a folder that are not hidden, nor in a hidden folder, sorted.

    Systems and archives leave hidden files with the same suffixes beside the real ones
    (`._0001.png`).
    """
    return sorted(
        path
        for path in paths
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, and hidden folders, which are not searched.

    Links to folders are followed, but every folder is searched once. Folders that cannot be read
    and links to a folder that contains `folder` are reported.
    """
    parents = folder.resolve().parents
    folders, links = deque([folder]), deque[Path]()
    found = set[Path]()
    while folders or links:
        here = folders.popleft() if folders else links.popleft()  # a folder itself before its links
        real = here.resolve()
        if real in parents:
            _report_skipped(here, "it is a link to a folder that contains it")
        if real in found or real in parents:
            continue
        found.add(real)
        for entry in _entries(here):
            if not entry.is_dir() or entry.name.startswith("."):
                yield here / entry.name
            else:
                (links if entry.is_symlink() else folders).append(here / entry.name)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the files and folders in a folder, sorted; none, and a report, if it cannot be
    read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        _report_skipped(folder, error.strerror or str(error))
        return []


@cache
def _report_skipped(folder: Path, reason: str) -> None:
    """Log that a folder is skipped; once, since a batch that watches a folder lists it again and
    again."""
    log.warning("%s is skipped (%s)", folder, reason)
