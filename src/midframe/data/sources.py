"""Lists of the origin of clips and photographs: source, licence, attribution."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from midframe.errors import DatasetError


@dataclass(frozen=True)
class Source:
    """The origin of one file."""

    name: str
    """Files of one source are all used for training, or all for validation."""
    licence: str = ""
    attribution: str = ""


Sources = dict[str, Source]
"""Sources by file: its path below the folder, or only its name."""


def read_sources(lists: Iterable[Path]) -> Sources:
    """Read CSV lists with the columns file, licence, attribution and, optionally, source.

    Without a source, files with the same attribution have the same source.

    Raises:
        DatasetError: a list cannot be read or lacks a column.
    """
    sources: Sources = {}
    for path in lists:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{path} is not a readable CSV list of sources: {error}") from error
        missing = {"file", "licence", "attribution"} - set(rows[0] if rows else ())
        if missing:
            raise DatasetError(
                f"{path} lacks the columns {', '.join(sorted(missing))}: add them to the first row"
            )
        for row in rows:
            name = row.get("source") or row["attribution"] or row["file"]
            sources[row["file"]] = Source(name, row["licence"] or "", row["attribution"] or "")
    return sources


def find_source(path: Path, root: Path, sources: Sources) -> Source:
    """Return the source of a file below a root; an unlisted file is a source of its own."""
    relative = relative_name(path, root)
    return sources.get(relative) or sources.get(path.name) or Source(relative)


def relative_name(path: Path, root: Path) -> str:
    """Return a file's path below the searched folder, with slashes on every system."""
    return path.relative_to(root).as_posix() if path != root else path.name
