"""The compressed list of thumbnails and the times of their frames."""

import sys
from fractions import Fraction

import numpy as np
import pytest

from midframe.media.reading.thumbnails import CHUNK, ThumbnailList

RATE = Fraction(30000, 1001)


def render_thumbnails(count: int) -> tuple[ThumbnailList, list[np.ndarray]]:
    """Moving noise, as the thumbnails of some frames."""
    noise = np.random.default_rng(0).integers(0, 256, (18, 32), np.uint8)
    images = [np.roll(noise, number, axis=1) for number in range(count)]
    thumbnails = ThumbnailList()
    for number, image in enumerate(images):
        thumbnails.append(number / RATE, image)
    return thumbnails, images


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5])
def test_thumbnails_are_stored_with_their_times(count: int) -> None:
    thumbnails, images = render_thumbnails(count)
    assert len(thumbnails) == count
    assert [each.time for each in thumbnails] == [number / RATE for number in range(count)]
    assert list(thumbnails.times()) == [each.time for each in thumbnails]
    for found, image in zip(thumbnails, images, strict=True):
        assert np.array_equal(found.thumbnail, image)


def test_single_thumbnails_are_found_by_their_numbers() -> None:
    thumbnails, images = render_thumbnails(CHUNK + 10)
    for number in (0, CHUNK - 1, CHUNK, -1, -11):
        assert np.array_equal(thumbnails[number].thumbnail, images[number])
    assert [each.time * RATE for each in thumbnails[3:5]] == [3, 4]
    with pytest.raises(IndexError):
        thumbnails[CHUNK + 10]


def test_all_times_can_be_shifted() -> None:
    thumbnails, _ = render_thumbnails(3)
    thumbnails.move(Fraction(-1, 3))
    assert [each.time for each in thumbnails] == [n / RATE - Fraction(1, 3) for n in range(3)]


def test_thumbnails_of_a_static_video_need_little_memory() -> None:
    thumbnails = ThumbnailList()
    image = np.random.default_rng(0).integers(0, 256, (18, 32), np.uint8)
    for number in range(CHUNK):
        thumbnails.append(number / RATE, image)
    assert sum(map(sys.getsizeof, thumbnails._chunks)) < 10 * CHUNK
    assert thumbnails._last == []
