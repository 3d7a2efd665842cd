"""Records of finished results: by these, a film that is done is skipped in the next run.

A record lies in OUT_DIR/.midframe/NAME.json. It holds what decided the frames of the result, the
size of the result, and its report. A result counts as finished only if all of it agrees.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midframe.outputs import atomic_write, short_name
from midframe.video.report import VideoReport

FOLDER = ".midframe"


def record_path(out: Path, name: str) -> Path:
    """Return where the record of a result lies.

    Args:
        out: output folder of the batch.
        name: of the result below it.
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
        settings: what decides its frames, as JSON has it.
        report: of the result.

    Raises:
        OSError: it cannot be written.
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
    """Return the report of a result if it is finished and was made with these settings.

    Args:
        path, target, settings: as in `write_record`.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        size = target.stat().st_size
        same = record["settings"] == json.loads(json.dumps(settings)) and record["bytes"] == size
        return dict(record["report"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
