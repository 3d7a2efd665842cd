"""The mark in files that midframe wrote: its name, and a hash of the settings of the result."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import av

from midframe.errors import VideoError
from midframe.media.gif_blocks import SIGNATURE, insert_comment
from midframe.media.reading.video_file import open_video
from midframe.media.suffixes import ANIMATIONS

NAME = "midframe"
DIGITS = 16
"""Hexadecimal digits of the hash; with the name they fit into the 31 characters of the encoder name
in MP4."""
FILE_KEYS = {"avi": "encoded_by", "mpegts": "service_provider"}
"""Metadata of the file that contains the mark, for containers without metadata of streams."""
STREAM_KEY = "encoder"
PNG_END = 12
"""Bytes of the last chunk of a PNG file."""
SEARCHED_END = 64
"""Bytes at the end of an APNG that hold its mark; version 0.1.0 also wrote GIFs so."""
SEARCHED_BYTES = 1 << 14
"""Bytes at the beginning of an MPEG-TS file that hold its service description table, and of a GIF
that hold its comment."""


def mark_of(settings: Mapping[str, Any] | None) -> str:
    """Return the mark of a result.

    Args:
        settings: numbers and texts; None for a mark without a hash.
    """
    if settings is None:
        return NAME
    return f"{NAME} {sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:DIGITS]}"


def write_mark(container: Any, stream: Any, mark: str) -> None:
    """Add a mark to an output container before its header is written.

    Args:
        container, stream: the file, and its video stream.
        mark: from `mark_of`.
    """
    key = FILE_KEYS.get(container.format.name)
    if key:
        container.metadata[key] = mark
    else:
        stream.metadata[STREAM_KEY] = mark


def insert_mark(path: Path, mark: str) -> None:
    """Insert a mark into a finished file: a comment before the images of a GIF, or a text chunk
    before the end of a PNG."""
    data = path.read_bytes()
    text = mark.encode("latin-1")
    if data.startswith(SIGNATURE):
        path.write_bytes(insert_comment(data, text))
        return
    chunk = b"tEXtSoftware\0" + text
    size = (len(chunk) - 4).to_bytes(4, "big")
    checksum = crc32(chunk).to_bytes(4, "big")
    path.write_bytes(data[:-PNG_END] + size + chunk + checksum + data[-PNG_END:])


def read_mark(path: Path) -> str | None:
    """Return the mark of a file; None if it has none or is not a video."""
    try:
        if path.suffix.lower() in ANIMATIONS:
            data = path.read_bytes()
            return _find_mark(data[:SEARCHED_BYTES] + data[-SEARCHED_END:])
        with open_video(path) as container:
            found = [container.metadata.get(key) for key in FILE_KEYS.values()]
            for stream in container.streams.video:
                found += [
                    value for key, value in stream.metadata.items() if key.lower() == STREAM_KEY
                ]
            if container.format.name == "mpegts":
                found.append(_read_from_transport_stream(path))
    except (VideoError, av.FFmpegError, OSError):
        return None
    return next((mark for mark in found if mark and mark.split()[0] == NAME), None)


def _read_from_transport_stream(path: Path) -> str | None:
    """Read the mark from the service description table, which is plain text: PyAV has no metadata
    of programs."""
    with path.open("rb") as file:
        return _find_mark(file.read(SEARCHED_BYTES))


def _find_mark(data: bytes) -> str | None:
    found = re.search(rf"{NAME}( [0-9a-f]{{{DIGITS}}})?", data.decode("latin-1"))
    return found and found[0]
