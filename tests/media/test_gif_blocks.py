"""The blocks of GIF files."""

import io

from PIL import Image

from midframe.media.gif_blocks import first_block, has_image, insert_comment


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (3, 2)).save(file, "GIF")
    return file.getvalue()


def test_a_comment_is_inserted_after_the_colours_and_changes_no_image() -> None:
    data = insert_comment(gif(), b"hello")
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.n_frames, image.info["comment"]) == ((3, 2), 1, b"hello")
    assert data[first_block(data) :].startswith(b"\x21\xfe\x05hello\x00")


def test_a_packet_has_an_image_unless_it_ends_after_its_extensions() -> None:
    comment = b"\x21\xfe\x02hi\x03you\x00"
    assert has_image(gif())
    assert has_image(comment + b"\x2c")
    for packet in (b"", comment, comment + comment, comment + b"\x3b", comment[:-3], gif()[:13]):
        assert not has_image(packet)
