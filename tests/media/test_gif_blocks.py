"""The blocks of GIF files."""

import io

import av
import pytest
from PIL import Image

from midframe.media.gif_blocks import first_block, has_image, insert_comment, is_misread_by_ffmpeg


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (3, 2)).save(file, "GIF")
    return file.getvalue()


def test_a_comment_is_inserted_after_the_palette_and_changes_no_image() -> None:
    data = insert_comment(gif(), b"hello")
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.n_frames, image.info["comment"]) == ((3, 2), 1, b"hello")
    assert data[first_block(data) :].startswith(b"\x21\xfe\x05hello\x00")


def test_a_packet_has_an_image_unless_it_ends_after_its_extensions() -> None:
    comment = b"\x21\xfe\x02hi\x03you\x00"
    assert has_image(gif())
    assert has_image(comment + b"\x2c")
    for packet in (
        b"",
        comment,
        comment + comment,
        comment + b"\x3b",
        comment[:-3],
        gif()[:9],
        gif()[:13],
    ):
        assert not has_image(packet)


@pytest.mark.parametrize("delay", [{}, {"duration": 0}, {"duration": 40}, {"transparency": 0}])
def test_images_without_a_control_extension_are_found(delay: dict[str, int]) -> None:
    file = io.BytesIO()
    frames = [Image.effect_noise((16, 12), 50 + n).convert("P") for n in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], **delay)
    data = file.getvalue()
    with av.open(io.BytesIO(data)) as container:
        assert is_misread_by_ffmpeg(data) == (len(list(container.decode(video=0))) < 3)
    assert not is_misread_by_ffmpeg(gif())
    for end in (*range(13), *range(13, len(data), 37)):  # files that were cut off
        is_misread_by_ffmpeg(data[:end])
