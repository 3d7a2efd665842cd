"""Folders: the files below them, and those that are not hidden."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, also in folders that symbolic links lead to, except those
    that contain the link."""
    for name, folders, files in os.walk(folder, followlinks=True):
        here = Path(name)
        above = here.relative_to(folder).parents
        if here.is_symlink() and any(here.samefile(folder / each) for each in above):
            folders.clear()
        else:
            yield from (here / file for file in files)


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
