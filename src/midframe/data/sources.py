"""Where clips and photographs come from: licence, attribution, and which of them belong together."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from midframe.errors import DatasetError


@dataclass(frozen=True)
class Source:
    """What a list of sources says of one file."""

    name: str
    """Files of one name are never split between training and validation."""
    licence: str = ""
    attribution: str = ""


Sources = dict[str, Source]
"""Sources by file: its path below the folder, or its name alone."""


def read_sources(lists: Iterable[Path]) -> Sources:
    """Read CSV lists with the columns file, licence, attribution and, where files belong together otherwise, source.

    Raises:
        DatasetError: a list cannot be read or lacks a column.
    """
    sources: Sources = {}
    for path in lists:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{path} cannot be read as a list of sources (CSV): {error}") from error
        missing = {"file", "licence", "attribution"} - set(rows[0] if rows else ())
        if missing:
            raise DatasetError(f"{path} lacks the columns {', '.join(sorted(missing))}: file, licence, attribution")
        for row in rows:
            name = row.get("source") or row["attribution"] or row["file"]
            sources[row["file"]] = Source(name, row["licence"] or "", row["attribution"] or "")
    return sources


def source_of(path: Path, root: Path, sources: Sources) -> Source:
    """The source of a file below a root; one that no list names is a source of its own."""
    relative = relative_name(path, root)
    return sources.get(relative) or sources.get(path.name) or Source(relative)


def relative_name(path: Path, root: Path) -> str:
    """A file's path below the folder it was found in, with slashes on every system."""
    return path.relative_to(root).as_posix() if path != root else path.name
