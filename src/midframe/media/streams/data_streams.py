"""The contents of data streams, by their codec or their QuickTime tag."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

MEANINGS = {
    "tmcd": "time code",
    "fdsc": "GoPro file description",
    "gpmd": "GoPro telemetry",
    "mebx": "timed metadata",
    "camm": "camera motion",
    "rtmd": "camera metadata",
    "rtp ": "streaming hints",
    "text": "text",
    "klv": "KLV metadata",
    "scte_35": "SCTE-35 cue messages",
    "timed_id3": "timed ID3 metadata",
    "epg": "programme guide",
    "smpte_436m_anc": "ancillary data",
    "dvd_nav_packet": "DVD menus",
    "mpegts": "a transport stream in a transport stream",
}
"""Contents of data streams, by FFmpeg's codec name or by tag."""
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
"""Boxes of QuickTime and MP4 that are searched for `tkhd` and `stsd`."""
MOV_FORMATS = "mov,mp4"


def describe_data(source: Any) -> str:
    """Return the tag or codec of a data stream, and its contents, as in "tmcd, time code"."""
    name = source.name or ""
    container = source.container
    if not name.strip() or name in ("bin_data", "none"):
        tags = (
            quicktime_tags(Path(container.name.removeprefix("file:")))
            if container.format.name.startswith(MOV_FORMATS)
            else {}
        )
        name = tags.get(source.id, name)
    handler = source.metadata.get("handler_name", "").strip()
    parts = [name.strip(), MEANINGS.get(name, handler)]
    return ", ".join(part for part in parts if part) or "data of an unknown type"


def quicktime_tags(path: Path) -> dict[int, str]:
    """Return the tag of the first sample description of each track of a QuickTime or MP4 file, by
    the track's id."""
    with suppress(OSError, struct.error, ValueError, IndexError), path.open("rb") as file:
        file.seek(0, 2)
        return dict(_tags(file, 0, file.tell()))
    return {}


def _tags(file: BinaryIO, begin: int, end: int, depth: int = 0) -> Iterator[tuple[int, str]]:
    number = 0
    for box_type, start, until in boxes(file, begin, end):
        if box_type == b"tkhd":
            file.seek(start)
            version = file.read(1)[0]
            file.seek(start + (20 if version == 1 else 12))
            number = struct.unpack(">I", file.read(4))[0]
        elif box_type == b"stsd" and until - start >= 16:
            file.seek(start + 12)
            yield 0, file.read(4).decode("latin-1")
        elif box_type in CONTAINERS and depth < len(CONTAINERS):
            for track, tag in _tags(file, start, until, depth + 1):
                yield track or number, tag


def boxes(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the contents of each box."""
    while begin + 8 <= end:
        file.seek(begin)
        size, box_type = struct.unpack(">I4s", file.read(8))
        start = begin + 8
        if size == 1:
            size, start = struct.unpack(">Q", file.read(8))[0], begin + 16
        until = end if size == 0 else min(end, begin + size)
        if until < start:
            return
        yield box_type, start, until
        begin = until
