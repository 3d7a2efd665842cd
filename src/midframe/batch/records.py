"""Records of finished results, by which the next run skips videos that are done.

A record is in OUT_DIR/.midframe/NAME.json. It contains the settings that affect the frames of the
result, the size of the result, and its report. A result is finished only if settings and size match
its record.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midframe.options import canonical_fingerprint
from midframe.outputs import atomic_write, short_name
from midframe.video.report import VideoReport

FOLDER = ".midframe"


def record_path(out: Path, name: str) -> Path:
    """Return the path of the record of a result.

    Args:
        out: output folder of the batch.
        name: path of the result below it.
    """
    path = out / FOLDER / name
    return path.with_name(short_name(path.name, ".json"))


def write_record(
    path: Path, target: Path, settings: Mapping[str, Any], report: VideoReport
) -> None:
    """Write the record of a result.

    Args:
        path: of the record.
        target: the result.
        settings: that affect its frames, as JSON values.
        report: of the result.

    Raises:
        OSError: the record cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "settings": dict(settings),
        "bytes": target.stat().st_size,
        "report": report.as_json(),
    }
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_record(path: Path, target: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report of a result if it is finished and has the same settings, otherwise None.

    Args:
        path, target, settings: as in `write_record`.
    """
    try:
        return parse_record(path.read_text(encoding="utf-8"), target.stat().st_size, settings)
    except (OSError, ValueError):
        return None


def parse_record(text: str, size: int, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report in a record if it agrees with a result, otherwise None.

    Args:
        text: of the record.
        size: of the result, in bytes.
        settings: as in `write_record`.
    """
    try:
        record = json.loads(text)
        expected = json.loads(json.dumps(settings))  # tuples become lists, as in the record
        stored = canonical_fingerprint(record["settings"])
        matches = stored == expected and record["bytes"] == size
        return dict(record["report"]) if matches else None
    except (ValueError, KeyError, TypeError):
        return None
