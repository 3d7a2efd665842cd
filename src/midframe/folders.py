"""Folders: files that are not hidden."""

from collections.abc import Iterable
from pathlib import Path


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
