"""Which subtitles of an MP4 or QuickTime file are shown by default.

FFmpeg's muxer enables the first track of each type, so a film whose subtitles are off would show
them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from midframe.media.streams.data_streams import boxes

TEXT_HANDLERS = (b"sbtl", b"subt", b"text", b"clcp")
"""Handlers of tracks with text (ISO/IEC 14496-12, 8.4.3, and QuickTime)."""
ENABLED = 1
"""Bit of the flags of a track header (8.3.2)."""


def disable_texts(path: Path, shown: Sequence[bool]) -> None:
    """Disable tracks of text.

    Args:
        path: of a finished file.
        shown: for each subtitle stream, in order, whether it is shown by default. A track of
            chapter titles follows them.
    """
    if all(shown):
        return
    with path.open("r+b") as file:
        places = list(_text_flags(file))
        for place, is_shown in zip(places, shown, strict=False):
            if not is_shown:
                file.seek(place)
                flags = file.read(1)[0] & ~ENABLED
                file.seek(place)
                file.write(bytes([flags]))


def _text_flags(file: BinaryIO) -> Iterator[int]:
    """Yield the position of the last byte of the flags of each track of text."""
    file.seek(0, 2)
    for _, begin, end in _named(file, b"moov", 0, file.tell()):
        for _, track, track_end in _named(file, b"trak", begin, end):
            header = next(start for _, start, _ in _named(file, b"tkhd", track, track_end))
            for _, media, media_end in _named(file, b"mdia", track, track_end):
                for _, handler, _ in _named(file, b"hdlr", media, media_end):
                    file.seek(handler + 8)  # version, flags and the type of the component
                    if file.read(4) in TEXT_HANDLERS:
                        yield header + 3


def _named(file: BinaryIO, name: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    return (box for box in boxes(file, begin, end) if box[0] == name)
