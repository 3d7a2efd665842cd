"""The blocks of GIF files (GIF89a specification, appendix A)."""

SIGNATURE = b"GIF8"
HEADER_BYTES = 13
"""Bytes of the signature and the logical screen descriptor."""
EXTENSION, IMAGE = 0x21, 0x2C
"""First bytes of blocks."""
COMMENT = 0xFE
"""Second byte of a comment extension."""


def first_block(data: bytes) -> int:
    """Return the position of the first block of a file, after the global colour table."""
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
        place += 2
        while place < len(data) and data[place]:  # sub-blocks: their length, then their bytes
            place += 1 + data[place]
        place += 1
    return place < len(data) and data[place] == IMAGE
