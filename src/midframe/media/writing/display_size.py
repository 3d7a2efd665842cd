"""The display size in Matroska and WebM files, which defines the sample aspect ratio.

FFmpeg's muxer writes it from a field of the stream that PyAV cannot set. So it is inserted into the
finished file: the `Tracks` element is extended into the `Void` element before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from zlib import crc32

EBML, SEGMENT, TRACKS = 0x1A45DFA3, 0x18538067, 0x1654AE6B
SEEK_HEAD, SEEK, SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AC
VOID, CRC = 0xEC, 0xBF
TRACK_ENTRY, TRACK_TYPE, VIDEO = 0xAE, 0x83, 0xE0
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
"""IDs of elements (RFC 9559)."""
HEADER_BYTES = 1 << 20
"""Number of bytes at the start of a file in which the tracks are searched."""
MIN_VOID = 9
"""Bytes of an empty `Void` element: its ID, and a size of eight bytes."""


@dataclass(frozen=True)
class _Element:
    """An element of a file: its ID, and the positions of its start, content and end."""

    id: int
    start: int
    content: int
    end: int


def set_display_size(path: Path, width: int, height: int, aspect: Fraction) -> None:
    """Set the display size of the video in a finished Matroska or WebM file.

    Args:
        path: of the file.
        width, height: of the video, in pixels.
        aspect: sample aspect ratio.

    Raises:
        ValueError: the file has no free space before its tracks.
    """
    with path.open("r+b") as file:
        header = file.read(HEADER_BYTES)
        segment = next((each for each in _elements(header, 0) if each.id == SEGMENT), None)
        if segment is None:
            raise ValueError(f"{path} has no segment")
        children = _until_tracks(header, segment)
        *before, tracks = children
        video = _with_display_size(header, tracks, *_shown_size(width, height, aspect))
        extra = len(video) - (tracks.end - tracks.start)
        void = next(
            (
                each
                for each in before
                if each.id == VOID and each.end - each.start - extra >= MIN_VOID
            ),
            None,
        )
        if void is None:
            raise ValueError(f"{path} has no free space before its tracks")
        new = bytearray(header[: tracks.end])
        size = void.end - void.start - extra - MIN_VOID
        moved = header[void.end : tracks.start]
        new[void.start :] = _element(VOID, bytes(size), 8) + moved + video
        seek_head = next((each for each in before if each.id == SEEK_HEAD), None)
        if seek_head:
            edges = (void.end - segment.content, tracks.start - segment.content)
            _move_positions(new, seek_head, edges, -extra)
        file.seek(0)
        file.write(new)


def _shown_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return the display size in whole pixels, exact if one side can be."""
    wide, high = width * aspect, height / aspect
    if wide.denominator != 1 and high.denominator == 1:
        return width, int(high)
    return max(1, round(wide)), height


def _until_tracks(header: bytes, segment: _Element) -> list[_Element]:
    """Return the children of a segment, up to and including its tracks."""
    found = []
    for child in _elements(header, segment.content):
        found.append(child)
        if child.id == TRACKS and child.end <= len(header):
            return found
    raise ValueError("the file has no tracks in its header")


def _with_display_size(header: bytes, tracks: _Element, width: int, height: int) -> bytes:
    """Return the bytes of the tracks with a display size in the first video track."""
    sizes = _element(DISPLAY_WIDTH, _number(width)) + _element(DISPLAY_HEIGHT, _number(height))
    content, changed = b"", False
    for entry in _elements(header, tracks.content, tracks.end):
        if entry.id == CRC:
            continue
        if entry.id == TRACK_ENTRY and not changed:
            parts = list(_elements(header, entry.content, entry.end))
            if any(each.id == TRACK_TYPE and header[each.content] == 1 for each in parts):
                content += _element(TRACK_ENTRY, _entry_content(header, parts, sizes), 8)
                changed = True
                continue
        content += header[entry.start : entry.end]
    if not changed:
        raise ValueError("the file has no video track")
    return _element(TRACKS, _with_crc(content), 4)


def _entry_content(header: bytes, parts: list[_Element], sizes: bytes) -> bytes:
    """Return the content of a track entry, with the elements `sizes` for the display size."""
    content = b""
    for part in parts:
        if part.id != VIDEO:
            content += header[part.start : part.end]
            continue
        kept = (
            header[each.start : each.end]
            for each in _elements(header, part.content, part.end)
            if each.id not in (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT)
        )
        content += _element(VIDEO, b"".join(kept) + sizes, 8)
    return content


def _move_positions(
    header: bytearray, seek_head: _Element, edges: tuple[int, int], distance: int
) -> None:
    """Add a distance to the positions in a seek head that lie between two edges (inclusive)."""
    for entry in _elements(header, seek_head.content, seek_head.end):
        if entry.id != SEEK:
            continue
        for part in _elements(header, entry.content, entry.end):
            position = int.from_bytes(header[part.content : part.end], "big")
            if part.id == SEEK_POSITION and edges[0] <= position <= edges[1]:
                moved = (position + distance).to_bytes(part.end - part.content, "big")
                header[part.content : part.end] = moved
    first = next(_elements(header, seek_head.content, seek_head.end))
    if first.id == CRC:
        checked = bytes(header[first.end : seek_head.end])
        header[first.content : first.end] = crc32(checked).to_bytes(4, "little")


def _with_crc(content: bytes) -> bytes:
    return _element(CRC, crc32(content).to_bytes(4, "little")) + content


def _elements(data: bytes | bytearray, start: int, end: int | None = None) -> Iterator[_Element]:
    """Yield the elements in a range of bytes."""
    end = len(data) if end is None else end
    while start < end:
        id_length = 9 - data[start].bit_length()
        place = start + id_length
        if id_length > 4 or place >= len(data):
            return
        length = 9 - data[place].bit_length()
        if length > 8 or place + length > len(data):
            return
        size = int.from_bytes(data[place : place + length], "big") - (1 << (7 * length))
        content = place + length
        yield _Element(int.from_bytes(data[start:place], "big"), start, content, content + size)
        start = content + size


def _element(id_: int, content: bytes, length: int = 1) -> bytes:
    """Return the bytes of an element, whose size field has at least `length` bytes."""
    while len(content) >= (1 << (7 * length)) - 1:
        length += 1
    size = ((1 << (7 * length)) + len(content)).to_bytes(length, "big")
    return _number(id_) + size + content


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
