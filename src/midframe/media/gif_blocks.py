"""The blocks of GIF files (GIF89a specification, appendix A)."""

from collections.abc import Iterator

SIGNATURE = b"GIF8"
HEADER_BYTES = 13
"""Bytes of the signature and the logical screen descriptor."""
EXTENSION, IMAGE = 0x21, 0x2C
"""First bytes of blocks."""
COMMENT, CONTROL = 0xFE, 0xF9
"""Second bytes of a comment, and of a graphic control extension."""
DELAY = 4
"""Position of the delay in a graphic control extension, in hundredths of a second."""
MAX_REPLACED_DELAY = 1
"""The longest delay that browsers replace by a tenth of a second, in hundredths of a second."""
DESCRIPTOR_BYTES = 10
"""Bytes of an image descriptor, before its colour table."""


def first_block(data: bytes) -> int:
    """Return the position of the first block of a file, after the global colour table; the end of
    the header if the file ends within it."""
    if len(data) < HEADER_BYTES:
        return HEADER_BYTES
    flags = data[HEADER_BYTES - 3]
    has_colours = flags & 0x80
    return HEADER_BYTES + (3 * 2 ** ((flags & 7) + 1) if has_colours else 0)


def insert_comment(data: bytes, text: bytes) -> bytes:
    """Return a file with a comment of up to 255 bytes before its first block.

    FFmpeg counts a comment after the last image as one more frame.
    """
    begin = first_block(data)
    comment = bytes([EXTENSION, COMMENT, len(text)]) + text + b"\0"
    return data[:begin] + comment + data[begin:]


def has_image(data: bytes) -> bool:
    """Return whether a packet of FFmpeg's GIF demuxer contains an image, not only extensions."""
    place = first_block(data) if data.startswith(SIGNATURE) else 0
    while place + 1 < len(data) and data[place] == EXTENSION:
        place = _skip_sub_blocks(data, place + 2)
    return place < len(data) and data[place] == IMAGE


def is_misread_by_ffmpeg(data: bytes) -> bool:
    """Return whether FFmpeg reads a file in another way than browsers.

    An image after the first one without a graphic control extension is dropped: FFmpeg's demuxer
    begins a packet at each extension. Of the delays up to `MAX_REPLACED_DELAY`, only 0 is replaced.
    """
    images, delay = 0, None
    for block in _blocks(data):
        if data[block] == IMAGE:
            if images and delay is None:
                return True
            images, delay = images + 1, None
        elif data[block + 1] == CONTROL:
            delay = int.from_bytes(data[block + DELAY : block + DELAY + 2], "little")
            if 0 < delay <= MAX_REPLACED_DELAY:
                return True
    return False


def _blocks(data: bytes) -> Iterator[int]:
    """Yield the positions of the extensions and images of a file."""
    place = first_block(data)
    while place + DESCRIPTOR_BYTES < len(data) and data[place] in (EXTENSION, IMAGE):
        yield place
        begin = place + 2 if data[place] == EXTENSION else _after_colours(data, place) + 1
        place = _skip_sub_blocks(data, begin)


def _after_colours(data: bytes, place: int) -> int:
    """Return the end of an image descriptor with its colour table."""
    flags = data[place + DESCRIPTOR_BYTES - 1]
    return place + DESCRIPTOR_BYTES + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)


def _skip_sub_blocks(data: bytes, place: int) -> int:
    """Return the end of sub-blocks: their length, then their bytes; the last one is empty."""
    while place < len(data) and data[place]:
        place += 1 + data[place]
    return place + 1
