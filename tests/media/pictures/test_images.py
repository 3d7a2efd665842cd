from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from midframe.errors import VideoError
from midframe.media.pictures.decoding import read_picture
from midframe.media.pictures.images import (
    can_write,
    is_srgb,
    lost_properties,
    read_image,
    same_profile,
    unify_formats,
    write_image,
)
from midframe.tensors import to_image, to_tensor

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_integers_are_restored_after_conversion_to_float_and_back() -> None:
    bytes_ = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    words = np.arange(0, 65536, dtype=np.uint16)[: 192 * 3].reshape(12, 16, 3)
    assert np.array_equal(to_image(to_tensor(bytes_)), bytes_)
    assert np.array_equal(to_image(to_tensor(words), np.uint16), words)


def test_values_are_rounded_and_clipped() -> None:
    values = torch.tensor([0.4, 0.6, 254.6, -3.0, 300.0, 100.5]).div(255).reshape(1, 3, 1, 2)
    assert to_image(values).transpose(2, 0, 1).flatten().tolist() == [0, 1, 255, 0, 255, 100]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff"])
def test_written_images_are_read_unchanged(tmp_path: Path, name: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_image(tmp_path / name, image)
    assert np.array_equal(read_image(tmp_path / name), image)
    assert len(list(tmp_path.iterdir())) == 1


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P"):
        Image.new(mode, (4, 3), 7).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").shape == (3, 4, 3)


def test_images_are_rotated_as_their_tag_states(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 3))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (4, 3, 3)


def test_unreadable_and_unwritable_images_raise_an_error(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bits_alpha_and_icc_profile_are_kept(
    tmp_path: Path, name: str, channels: int, dtype: type
) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (5, 7, channels), dtype)
    write_image(tmp_path / name, image, PROFILE)
    found = read_picture(tmp_path / name)
    assert found.image.dtype == dtype
    assert np.array_equal(found.image, image)
    assert found.icc_profile == PROFILE
    with Image.open(tmp_path / name) as picture:  # another reader
        picture.load()
        assert picture.info["icc_profile"] == PROFILE


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [
        (".png", []),
        (".TIFF", []),
        (
            ".jpg",
            ["alpha (JPEG has none)", "bits beyond 8 of each sample (JPEG; PNG and TIFF hold 16)"],
        ),
        (".webp", ["bits beyond 8 of each sample (WEBP; PNG and TIFF hold 16)"]),
        (
            ".bmp",
            [
                "alpha (BMP has none)",
                "bits beyond 8 of each sample (BMP; PNG and TIFF hold 16)",
                "ICC profile (BMP has none)",
            ],
        ),
    ],
)
def test_unsupported_properties_are_listed_before_writing_and_dropped(
    tmp_path: Path, suffix: str, lost: list[str]
) -> None:
    assert lost_properties(suffix, high_bit_depth=True, alpha=True, icc_profile=PROFILE) == lost
    assert lost_properties(suffix, high_bit_depth=False, alpha=False, icc_profile=None) == []
    image = np.random.default_rng(0).integers(0, 65536, (16, 16, 4), np.uint16)
    write_image(tmp_path / f"a{suffix}", image, PROFILE)
    found = read_picture(tmp_path / f"a{suffix}")
    assert (found.image.shape[2] == 3) == any("alpha" in each for each in lost)
    assert (found.image.dtype == np.uint8) == any("bits" in each for each in lost)
    assert (found.icc_profile is None) == any("ICC" in each for each in lost)


def test_transparent_pixels_become_black_in_formats_without_alpha(tmp_path: Path) -> None:
    image = np.full((16, 16, 4), 200, np.uint8)
    image[:, :8, 3], image[:, 8:, 3] = 0, 255
    write_image(tmp_path / "a.ppm", image)
    found = read_picture(tmp_path / "a.ppm").image
    assert (found[:, :8].max(), found[:, 8:].min(), found[:, 8:].max()) == (0, 200, 200)


def test_formats_that_change_the_size_are_refused() -> None:
    assert [suffix for suffix in (".png", ".ico", ".icns") if can_write(suffix)] == [".png"]


def test_images_are_converted_to_a_common_type_and_channels() -> None:
    flat, clear = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2, 4), 7, np.uint16)
    first, second = unify_formats([flat, clear])
    assert np.array_equal(second, clear)
    assert first.dtype == np.uint16
    assert first[0, 0].tolist() == [200 * 257] * 3 + [65535]
    assert unify_formats([flat, flat])[0] is flat


def test_profiles_that_differ_only_in_their_dates_are_equal() -> None:
    other = PROFILE[:24] + bytes(12) + PROFILE[36:]
    assert same_profile(PROFILE, other)
    assert not same_profile(PROFILE, None)
    assert is_srgb(PROFILE)
    assert not is_srgb(PROFILE.replace(b"s\0R\0G\0B", b"w\0i\0d\0e").replace(b"sRGB", b"wide"))
    assert not is_srgb(b"no profile")


def test_read_image_blends_transparent_pixels_with_black(tmp_path: Path) -> None:
    image = np.full((4, 4, 4), 255, np.uint8)
    image[0, ..., 3] = 0
    image[1:, ..., 3] = 51
    write_image(tmp_path / "a.png", image)
    read = read_image(tmp_path / "a.png")
    assert read.shape == (4, 4, 3)
    assert not read[0].any()
    assert (read[1:] == 51).all()
