"""The shipped weights: where they lie and how they are described, without loading them."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from midframe.errors import CheckpointError

WEIGHTS = Path(__file__).parent / "weights"
"""Where the shipped weights lie, described by `index.json`."""


def list_models() -> dict[str, dict[str, Any]]:
    """Describe the shipped weights: for each name its file, sha256, settings, data and scores."""
    return {name: dict(facts) for name, facts in _index().items()}


def find_weights(name_or_file: str | Path) -> Path:
    """Return the file of shipped weights by their name, or the file itself.

    Raises:
        CheckpointError: there is no such name or file.
    """
    if str(name_or_file) in _index():
        return WEIGHTS / str(_index()[str(name_or_file)]["file"])
    path = Path(name_or_file)
    if not path.is_file():
        names = ", ".join(_index())
        raise CheckpointError(
            f"there are no weights {str(name_or_file)!r}: give a file, or one of: {names}"
        )
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _index() -> dict[str, dict[str, Any]]:
    path = WEIGHTS / "index.json"
    index: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return index
