"""Images of every format become upright RGB of their own bit depth, and losses are reported."""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pillow_heif
import pytest
from helpers.heic import write_heic
from helpers.video import render_frame
from PIL import Image, ImageCms, features

from midframe.errors import VideoError
from midframe.media.pictures import heic
from midframe.media.pictures.decoding import ROTATIONS, read_image_format, read_picture
from midframe.media.pictures.images import Array, with_alpha, write_image
from midframe.media.writing.encoder_options import opening_encoder

DEEP = np.random.default_rng(0).integers(0, 65536, (40, 60, 4), np.uint16)


def encoded(path: Path, encoder: str, image: Array, given: str, pixel_format: str) -> Path:
    """Write an image by FFmpeg."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=given).reformat(
        format=pixel_format
    )
    return packed(path, encoder, frame)


def packed(path: Path, encoder: str, frame: av.VideoFrame) -> Path:
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
    context.time_base = Fraction(1)
    path.write_bytes(
        b"".join(bytes(packet) for each in (frame, None) for packet in context.encode(each))
    )
    return path


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def check_form(path: Path) -> None:
    image, form = read_picture(path).image, read_image_format(path)
    found = (*image.shape[:2], image.dtype == np.uint16, image.shape[2] == 4)
    assert (form.height, form.width, form.high_bit_depth, form.alpha) == found


@pytest.mark.parametrize(
    ("name", "encoder", "channels", "given", "pixel_format"),
    [
        ("a.png", "png", 3, "rgb48le", "rgb48be"),
        ("a.png", "png", 4, "rgba64le", "rgba64be"),
        ("a.png", "png", 1, "gray16le", "gray16be"),
        ("a.tiff", "tiff", 3, "rgb48le", "rgb48le"),
        ("a.tif", "tiff", 4, "rgba64le", "rgba64le"),
        ("a.tif", "tiff", 1, "gray16le", "gray16le"),
        ("a.ppm", "ppm", 3, "rgb48le", "rgb48be"),
        ("a.pgm", "pgm", 1, "gray16le", "gray16be"),
        ("50%discount 12:30.png", "png", 3, "rgb48le", "rgb48be"),
    ],
)
def test_16_bits_are_kept(
    tmp_path: Path, name: str, encoder: str, channels: int, given: str, pixel_format: str
) -> None:
    image = DEEP[..., :channels] if channels > 1 else DEEP[..., 0]
    path = encoded(tmp_path / name, encoder, image, given, pixel_format)
    expected = image if channels > 1 else image[..., None].repeat(3, axis=2)
    assert read_picture(path).image.dtype == np.uint16
    assert np.array_equal(read_picture(path).image, expected)
    assert read_picture(path).dropped == ()
    check_form(path)


def test_16_bit_grey_keeps_its_alpha(tmp_path: Path) -> None:
    frame = av.VideoFrame(60, 40, "ya16be")
    rows = np.zeros((40, frame.planes[0].line_size // 2), ">u2")
    rows[:, :120] = DEEP[..., :2].reshape(40, 120)
    frame.planes[0].update(rows)
    path = packed(tmp_path / "a.png", "png", frame)
    assert np.array_equal(read_picture(path).image, DEEP[..., [0, 0, 0, 1]])
    check_form(path)


def test_16_bit_grey_with_a_transparent_value_has_alpha(tmp_path: Path) -> None:
    Image.fromarray(DEEP[..., 0]).save(tmp_path / "a.png", transparency=int(DEEP[3, 4, 0]))
    found = read_picture(tmp_path / "a.png").image
    assert np.array_equal(found[..., 0], DEEP[..., 0])
    assert np.array_equal(found[..., 3] == 0, DEEP[..., 0] == DEEP[3, 4, 0])
    check_form(tmp_path / "a.png")


def test_white_may_be_zero_in_tiff(tmp_path: Path) -> None:
    Image.fromarray(DEEP[..., 0]).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert np.array_equal(read_picture(tmp_path / "a.tif").image[..., 0], 65535 - DEEP[..., 0])


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("1", "png"),
        ("L", "png"),
        ("P", "png"),
        ("RGB", "png"),
        ("RGB", "bmp"),
        ("YCbCr", "tif"),
        ("CMYK", "tif"),
        ("LAB", "tif"),
    ],
)
def test_images_of_every_mode_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    picture = Image.fromarray(render_frame(0))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        before = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    else:
        before = picture.convert(mode)
    before.save(tmp_path / f"a.{suffix}")
    found = read_picture(tmp_path / f"a.{suffix}")
    expected = picture if mode in ("YCbCr", "LAB") else before.convert("RGB")
    assert (found.image.dtype, found.image.shape) == (np.uint8, (64, 96, 3))
    assert abs(found.image.astype(int) - np.asarray(expected)).mean() < 2
    assert found.dropped == (
        ("exact colours (CMYK without an ICC profile)",) if mode == "CMYK" else ()
    )
    check_form(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_alpha_is_read(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(np.dstack([render_frame(0), render_frame(1)[..., 0]]))
    if mode == "P":
        picture.convert("RGB").quantize(8).save(tmp_path / "a.png", transparency=2)
    else:
        picture.convert(mode).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png").image
    assert np.array_equal(found, np.asarray(Image.open(tmp_path / "a.png").convert("RGBA")))
    assert found[..., 3].min() < 255
    check_form(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_rotated_by_their_orientation_tag(
    tmp_path: Path, name: str, orientation: int
) -> None:
    picture = Image.fromarray(render_frame(0))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / name, exif=exif, quality=95)
    found = read_picture(tmp_path / name).image
    expected = ROTATIONS[orientation](render_frame(0)) if orientation > 1 else render_frame(0)
    assert found.shape == expected.shape
    assert abs(found.astype(int) - expected).mean() < 12
    check_form(tmp_path / name)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_tiffs_are_rotated_by_their_orientation_tag(
    tmp_path: Path, orientation: int, channels: int
) -> None:
    image = DEEP[..., :channels] if channels > 1 else DEEP[..., 0]
    write_tiff(tmp_path / "a.tif", image, orientation)
    expected = image if channels > 1 else image[..., None].repeat(3, axis=2)
    found = read_picture(tmp_path / "a.tif").image
    assert np.array_equal(found, ROTATIONS[orientation](expected) if orientation > 1 else expected)
    check_form(tmp_path / "a.tif")


def write_tiff(path: Path, image: Array, orientation: int) -> None:
    """A TIFF of FFmpeg with the tag of its orientation added (TIFF 6.0, section 2)."""
    form = "rgb48le" if image.ndim == 3 else "gray16le"
    content = encoded(path, "tiff", image, form, form).read_bytes()
    place = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[place : place + 2], "little")
    entries = [content[place + 2 + 12 * n : place + 14 + 12 * n] for n in range(count)]
    entries.append(b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(4, "little"))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    content += bytes(len(content) % 2)
    directory = (count + 1).to_bytes(2, "little") + b"".join(entries) + bytes(4)
    path.write_bytes(content[:4] + len(content).to_bytes(4, "little") + content[8:] + directory)


def test_samples_without_a_defined_white_are_refused(tmp_path: Path) -> None:
    for name, kind in (("f.tif", np.float32), ("i.tif", np.int32)):
        Image.fromarray(DEEP[..., 0].astype(kind)).save(tmp_path / name)
        with pytest.raises(
            VideoError, match=rf"{name} has .* samples.*: convert it to 16-bit PNG or TIFF"
        ):
            read_picture(tmp_path / name)
        with pytest.raises(VideoError, match="convert it to 16-bit"):
            read_image_format(tmp_path / name)
    frame = av.VideoFrame(60, 40, "gbrpf32le")
    for plane in frame.planes:
        plane.update(np.zeros((plane.height, plane.line_size // 4), np.float32))
    packed(tmp_path / "a.exr", "exr", frame)
    with pytest.raises(VideoError, match=r"a\.exr has floating-point samples"):
        read_picture(tmp_path / "a.exr")


def test_formats_that_pillow_does_not_support_are_read_by_ffmpeg(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.dpx", "dpx", DEEP[..., :3], "rgb48le", "gbrp10le")
    found = read_picture(path).image
    assert abs(found.astype(int) - DEEP[..., :3]).max() <= 64
    check_form(path)


def test_rgb_profiles_are_kept_and_others_reported(tmp_path: Path) -> None:
    picture = Image.fromarray(render_frame(0))
    picture.save(tmp_path / "a.png", icc_profile=srgb())
    assert read_picture(tmp_path / "a.png").icc_profile == srgb()
    grey = srgb()[:16] + b"GRAY" + srgb()[20:]
    picture.convert("L").save(tmp_path / "b.png", icc_profile=grey)
    found = read_picture(tmp_path / "b.png")
    assert (found.icc_profile, found.dropped) == (
        None,
        ("ICC profile (of GRAY, the result is RGB)",),
    )


def test_further_images_of_a_file_are_reported(tmp_path: Path) -> None:
    pages = [Image.fromarray(render_frame(n)) for n in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read_picture(tmp_path / "a.tif").dropped == ("2 of 3 images in the file",)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_avif_of_eight_and_ten_bits_is_read(tmp_path: Path) -> None:
    Image.fromarray(render_frame(0)).save(tmp_path / "a.avif", quality=95, subsampling="4:4:4")
    eight = read_picture(tmp_path / "a.avif").image
    assert eight.dtype == np.uint8
    assert abs(eight.astype(int) - render_frame(0)).mean() < 3
    if "libsvtav1" not in av.codecs_available:
        return
    frame = av.VideoFrame.from_ndarray(render_frame(0), format="rgb24").reformat(
        format="yuv420p10le"
    )
    frame.pts = 0
    with opening_encoder(), av.open(str(tmp_path / "b.avif"), "w", format="avif") as container:
        stream = container.add_stream(
            "libsvtav1", 25, options={"crf": "5", "svtav1-params": "lp=1"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    ten = read_picture(tmp_path / "b.avif").image
    assert ten.dtype == np.uint16
    assert abs(ten / 257 - render_frame(0)).mean() < 8
    check_form(tmp_path / "b.avif")


def test_damaged_images_raise_one_error(tmp_path: Path) -> None:
    write_image(tmp_path / "deep.png", DEEP[..., :3])
    write_image(tmp_path / "flat.tif", render_frame(0))
    for name in ("deep.png", "flat.tif"):
        content = (tmp_path / name).read_bytes()
        for end in (3, 30, 200, len(content) // 2):
            (tmp_path / f"cut-{name}").write_bytes(content[:end])
            with pytest.raises(VideoError, match=rf"cut-{name} cannot be read as an image"):
                read_picture(tmp_path / f"cut-{name}")


@pytest.fixture(params=["libheif", "FFmpeg"])
def heic_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "FFmpeg":
        monkeypatch.setitem(sys.modules, "pi_heif", None)  # not installed
    return str(request.param)


@pytest.mark.usefixtures("heic_decoder")
@pytest.mark.parametrize("rotation", [0, 1, 2, 3])
def test_heic_is_rotated_by_its_orientation(tmp_path: Path, rotation: int) -> None:
    path = write_heic(tmp_path / "a.heic", render_frame(0, 64, 96), rotation=rotation)
    upright = np.rot90(render_frame(0, 64, 96), rotation)
    found = read_picture(path).image
    assert found.shape == upright.shape
    assert abs(found.astype(int) - upright).mean() < 12
    check_form(path)


@pytest.mark.parametrize("rotation", [0, 1])
def test_the_tiles_of_heic_are_joined(tmp_path: Path, rotation: int) -> None:
    path = write_heic(tmp_path / "a.heic", render_frame(0, 128, 192), rotation=rotation, tile=64)
    upright = np.rot90(render_frame(0, 128, 192), rotation)
    found = read_picture(path)
    assert abs(found.image.astype(int) - upright).mean() < 12
    assert found.dropped == ()
    check_form(path)


def test_heic_of_tiles_is_refused_without_libheif(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    path = write_heic(tmp_path / "a.heic", render_frame(0, 128, 192), tile=64)
    for read in (read_picture, read_image_format):
        with pytest.raises(VideoError, match=r"a\.heic consists of tiles.*pip install pi-heif"):
            read(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_10_bit_heic_keeps_all_bits(tmp_path: Path, channels: int) -> None:
    ramp = (np.arange(64 * 96).reshape(64, 96) * 65535 // 6143).astype(np.uint16)
    mode, samples = ("L;16", ramp) if channels == 1 else ("RGB;16", np.stack([ramp] * 3, axis=2))
    heif = pillow_heif.from_bytes(mode, (96, 64), samples.tobytes())
    heif.save(tmp_path / "a.heic", quality=-1)  # lossless
    found = read_picture(tmp_path / "a.heic")
    assert found.image.dtype == np.uint16
    assert abs(found.image.astype(int) - ramp[..., None]).max() <= 64  # one of 1023 levels
    assert (found.image.min(), found.image.max()) == (0, 65535)
    assert (found.primaries, found.transfer) == (1, 13)  # BT.709, sRGB
    check_form(tmp_path / "a.heic")


def test_heic_keeps_alpha_and_its_profile(tmp_path: Path, heic_decoder: str) -> None:
    image = with_alpha(render_frame(0))
    image[:32, :, 3] = 100
    profile = srgb()
    pillow_heif.from_pillow(Image.fromarray(image)).save(
        tmp_path / "a.heic", quality=-1, icc_profile=profile
    )
    found = read_picture(tmp_path / "a.heic")
    assert found.icc_profile == profile
    if heic_decoder == "FFmpeg":
        assert found.dropped == ("alpha, or other images of the file",)
        return
    assert found.dropped == ()
    assert np.array_equal(found.image[..., 3], image[..., 3])
    check_form(tmp_path / "a.heic")


def test_the_primary_image_of_a_heic_is_read_and_others_are_reported(tmp_path: Path) -> None:
    heif = pillow_heif.from_pillow(Image.fromarray(render_frame(0)))
    heif.add_from_pillow(Image.fromarray(render_frame(5)))
    heif.save(tmp_path / "a.heic", quality=90, primary_index=1)
    found = read_picture(tmp_path / "a.heic")
    errors = [abs(found.image.astype(int) - render_frame(n)).mean() for n in (0, 5)]
    assert errors[1] < errors[0]
    assert found.dropped == ("1 of 2 images in the file",)


def test_depth_and_gain_maps_of_a_heic_are_reported() -> None:
    info = {"aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [3]}, "depth_images": ["depth"]}
    assert list(heic.dropped_parts([None], info)) == ["HDR gain map", "depth map"]


def test_a_damaged_heic_raises_one_error(tmp_path: Path) -> None:
    write_heic(tmp_path / "a.heic", render_frame(0, 64, 96))
    content = (tmp_path / "a.heic").read_bytes()
    for end in (30, 100, 300, len(content) // 2):
        (tmp_path / "b.heic").write_bytes(content[:end])
        with pytest.raises(VideoError, match=r"b\.heic cannot be read as an image"):
            read_picture(tmp_path / "b.heic")


def test_a_video_with_the_suffix_of_an_image_is_reported(render_video: Callable[..., Path]) -> None:
    found = read_picture(render_video(frames=3, sound=False))
    assert found.dropped == ("all images but the first of the file",)
    assert read_picture(render_video(frames=1, sound=False)).dropped == ()
