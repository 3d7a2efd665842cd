from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from midframe.errors import VideoError
from midframe.images import read_image, to_image, to_tensor, write_image


def test_integers_survive_the_way_to_float_and_back() -> None:
    bytes_ = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    words = np.arange(0, 65536, dtype=np.uint16)[: 192 * 3].reshape(12, 16, 3)
    assert np.array_equal(to_image(to_tensor(bytes_)), bytes_)
    assert np.array_equal(to_image(to_tensor(words), np.uint16), words)


def test_values_are_rounded_and_clipped() -> None:
    values = torch.tensor([0.4, 0.6, 254.6, -3.0, 300.0, 100.5]).div(255).reshape(1, 3, 1, 2)
    assert to_image(values).transpose(2, 0, 1).flatten().tolist() == [0, 1, 255, 0, 255, 100]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff"])
def test_pictures_come_back(tmp_path: Path, name: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_image(tmp_path / name, image)
    assert np.array_equal(read_image(tmp_path / name), image)
    assert len(list(tmp_path.iterdir())) == 1


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P"):
        Image.new(mode, (4, 3), 7).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").shape == (3, 4, 3)


def test_pictures_are_turned_as_their_tag_says(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 3))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (4, 3, 3)


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    whole = tmp_path / "whole.png"
    write_image(whole, np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    for name in ("missing.png", "text.png", "cut.png"):
        with pytest.raises(VideoError, match=name):
            read_image(tmp_path / name)
    for path in (tmp_path / "a.xyz", tmp_path / "nowhere" / "a.png"):
        with pytest.raises(VideoError, match=r"a\.(xyz|png)"):
            write_image(path, np.zeros((2, 2, 3), np.uint8))
