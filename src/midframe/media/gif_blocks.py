"""The blocks of GIF files (GIF89a specification, appendix A)."""

SIGNATURE = b"GIF8"
HEADER_BYTES = 13
"""Bytes of the signature and the logical screen descriptor."""
EXTENSION, IMAGE = 0x21, 0x2C
"""First bytes of blocks."""
COMMENT, CONTROL = 0xFE, 0xF9
"""Second bytes of a comment, and of a graphic control extension."""
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


def lacks_controls(data: bytes) -> bool:
    """Return whether a file has an image after the first one without a graphic control extension:
    FFmpeg's demuxer begins a packet at each extension, and drops such an image."""
    place = first_block(data)
    images, controlled = 0, False
    while place + DESCRIPTOR_BYTES < len(data):
        if data[place] == EXTENSION:
            controlled |= data[place + 1] == CONTROL
            place = _skip_sub_blocks(data, place + 2)
        elif data[place] == IMAGE:
            if images and not controlled:
                return True
            images, controlled = images + 1, False
            place = _skip_sub_blocks(data, _after_colours(data, place) + 1)
        else:
            break
    return False


def _after_colours(data: bytes, place: int) -> int:
    """Return the end of an image descriptor with its colour table."""
    flags = data[place + DESCRIPTOR_BYTES - 1]
    return place + DESCRIPTOR_BYTES + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)


def _skip_sub_blocks(data: bytes, place: int) -> int:
    """Return the end of sub-blocks: their length, then their bytes; the last one is empty."""
    while place < len(data) and data[place]:
        place += 1 + data[place]
    return place + 1
