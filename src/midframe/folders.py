"""Folders: which of their files count."""

from collections.abc import Iterable
from pathlib import Path


def visible_files(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of the paths below a folder that are not hidden, nor in a hidden folder, by name.

    Systems and archives leave hidden files beside real ones, which have the same endings
    (`._0001.png`).
    """
    return sorted(
        path
        for path in paths
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
