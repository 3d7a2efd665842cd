"""Folders and patterns of images, and files with several images, as sources and results."""

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.heic import write_heic
from helpers.image_sequences import animation, folder_of, rendered
from helpers.video import Averager, check_refused, frames_of, render_frame
from PIL import Image, ImageCms

from midframe.media.pictures.decoding import read_picture
from midframe.media.pictures.images import write_image
from midframe.media.reading.image_reader import ImageReader
from midframe.media.reading.image_sequence import (
    ImageSequence,
    image_files,
    is_pattern,
    missing_numbers,
)
from midframe.media.reading.sources import open_source
from midframe.media.writing.animation import plays_of
from midframe.options import SourceOptions
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WIDE = PROFILE.replace("sRGB".encode("utf-16-be"), "Wide".encode("utf-16-be"))


def test_hidden_files_and_other_files_are_skipped(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", rendered(3))
    for name in ("._0001.png", ".DS_Store", "Thumbs.db", "notes.pdf", "desktop.ini"):
        (folder / name).write_bytes(b"\0\5\x16\7no picture")
    (folder / "old.png").mkdir()
    assert [path.name for path in image_files(folder) or []] == [
        "0001.png",
        "0002.png",
        "0003.png",
    ]
    report = interpolate_video(folder, tmp_path / "out.mkv", model=Averager(), codec="ffv1")
    assert (report.frames_in, report.frames_kept, report.problems) == (3, 3, ())


def test_a_folder_of_heic_images_is_a_sequence(tmp_path: Path) -> None:
    for number in range(2):
        write_heic(tmp_path / f"IMG_{number}.HEIC", render_frame(number, 64, 96), tile=32)
    with open_source(tmp_path, SourceOptions()) as source:
        assert [frame.picture.width for frame in source.read()] == [96, 96]


def test_missing_numbers_are_reported(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", rendered(9))
    for number in (3, 6, 7):
        (folder / f"{number:04}.png").unlink()
    with open_source(folder, SourceOptions()) as reader:
        assert isinstance(reader, ImageReader)
        assert isinstance(reader.images, ImageSequence)
        assert reader.images.missing_numbers == [3, 6, 7]
        assert reader.warnings == ["images are missing: number 3, 6-7"]


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["a1.png", "a2.png", "a3.png"], []),
        (["2.png", "4.png", "8.png", "10.png"], [6]),
        (["000.png", "003.png", "006.png", "007.png", "009.png"], [1, 2, 4, 5, 8]),
        (["first.png", "second.png"], []),
        (["a1.png", "b5.png"], []),
        (["7.png"], []),
        (["f1_v2.png", "f2_v2.png", "f4_v2.png"], [3]),
        (["a_20_1.png", "a_21_1.png", "a_21_9.png"], []),
        (["f1.png", "f2.png", "f4.png", "preview.png"], [3]),
    ],
)
def test_numbers_may_have_any_equal_distance(names: list[str], missing: list[int]) -> None:
    assert missing_numbers([Path(name) for name in names]) == missing


def test_numbers_that_are_times_are_not_missing() -> None:
    times = range(1_700_000_000_000, 1_700_001_000_000, 10_001)
    assert missing_numbers([Path(f"{time}.png") for time in (*times, times[-1] + 7)]) == []


def test_images_with_other_names_are_reported(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", rendered(3), "f%d.png")
    for name in ("cover.png", "x1²2.png"):
        write_image(folder / name, render_frame(0))
    with open_source(folder, SourceOptions()) as reader:
        (warning,) = reader.warnings
    assert warning.startswith("2 of 5 images are named unlike the others, and are frames too: cov")
    with open_source(folder / "f%d.png", SourceOptions()) as reader:
        assert reader.warnings == []


def test_two_images_with_the_same_number_are_reported(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", rendered(3))
    write_image(folder / "0002.jpg", render_frame(0))
    with open_source(folder, SourceOptions()) as reader:
        assert isinstance(reader, ImageReader)
        assert isinstance(reader.images, ImageSequence)
        assert reader.warnings == ["several images have the same number: 2"]


def test_an_image_of_another_size_is_reported_before_the_work(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", [*rendered(2), render_frame(2, 32, 48)])
    check_refused(
        folder,
        tmp_path / "out.mp4",
        r"0003\.png is 48x32, and 0001\.png is 96x64: one size is needed",
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_images_of_every_mode_are_kept_unchanged(tmp_path: Path, mode: str) -> None:
    pictures = [Image.fromarray(image) for image in rendered(3)]
    if mode == "I;16":
        pictures = [
            Image.fromarray(np.asarray(each.convert("L")).astype(np.uint16) * 257 + 9)
            for each in pictures
        ]
    else:
        pictures = [each.convert(mode) for each in pictures]
    suffix = "tif" if mode == "CMYK" else "png"
    folder = folder_of(tmp_path / "frames", pictures, f"%d.{suffix}")
    report = interpolate_video(folder, tmp_path / "out", model=Averager())
    assert (report.frames_kept, report.frames_out, report.problems) == (3, 6, ())
    for number in range(3):
        before = read_picture(folder / f"{number + 1}.{suffix}").image
        after = read_picture(tmp_path / "out" / f"{2 * number + 1:06}.png").image
        assert after.dtype == before.dtype
        assert np.array_equal(after, before)
    interpolate_video(folder, tmp_path / "out.mp4", model=Averager())
    assert frames_of(tmp_path / "out.mp4")[0].format.name == (
        "yuv420p10le" if mode == "I;16" else "yuv420p"
    )


def test_a_sequence_has_the_largest_bit_depth_and_any_alpha_of_its_images(
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path / "frames", rendered(2))
    deep = render_frame(2).astype(np.uint16) * 257 + 3
    write_image(folder / "0003.png", deep)
    Image.fromarray(np.dstack([render_frame(3), np.full((64, 96), 128, np.uint8)])).save(
        folder / "0004.png"
    )
    interpolate_video(folder, tmp_path / "out", model=Averager(), factor=1)
    found = [read_picture(tmp_path / "out" / f"{n:06}.png").image for n in (1, 2, 3, 4)]
    assert {(image.dtype.name, image.shape[2]) for image in found} == {("uint16", 4)}
    assert np.array_equal(found[0][..., :3], render_frame(0).astype(np.uint16) * 257)
    assert np.array_equal(found[2][..., :3], deep)
    assert [image[0, 0, 3] for image in found] == [65535, 65535, 65535, 128 * 257]


def test_rotated_jpegs_become_upright_frames(tmp_path: Path) -> None:
    picture = Image.fromarray(render_frame(0))
    exif = picture.getexif()
    exif[0x0112] = 6
    folder = folder_of(tmp_path / "shots", [picture] * 2, "%04d.jpg", exif=exif, quality=95)
    interpolate_video(folder, tmp_path / "out.mkv", model=Averager(), codec="ffv1")
    frame = frames_of(tmp_path / "out.mkv")[0]
    assert (frame.width, frame.height) == (64, 96)
    assert (
        abs(frame.to_ndarray(format="rgb24").astype(int) - np.rot90(render_frame(0), -1)).mean() < 8
    )


def test_the_icc_profile_is_kept_or_reported(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames", rendered(2), icc_profile=WIDE)
    interpolate_video(folder, tmp_path / "out", model=Averager())
    assert all(read_picture(path).icc_profile == WIDE for path in (tmp_path / "out").iterdir())
    lost = interpolate_video(folder, tmp_path / "out.mp4", model=Averager()).dropped
    assert lost == ("ICC profile (the result has none, so its colours look different)",)
    usual = folder_of(tmp_path / "usual", rendered(2), icc_profile=PROFILE)
    assert interpolate_video(usual, tmp_path / "usual.mp4", model=Averager()).dropped == ()


def test_a_video_with_a_percent_sign_in_its_name_is_no_pattern(
    render_video: Render, tmp_path: Path
) -> None:
    assert not is_pattern(Path("50%discount.mp4"))
    assert is_pattern(Path("50%d.png"))
    write_image(tmp_path / "50%discount.png", render_frame(0))
    assert image_files(tmp_path / "50%discount.png") is None


def test_a_webp_keeps_the_loop_count_of_a_gif(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.webp", rendered(3), duration=100, loop=3)
    interpolate_video(source, tmp_path / "out.gif", model=Averager())
    assert plays_of(tmp_path / "out.gif") == plays_of(source) == 3


@pytest.mark.parametrize(
    ("rate", "durations"), [(15, [70, 60, 70]), (24, [40, 40, 50, 40, 40, 40]), (30, [30, 30, 40])]
)
def test_gifs_keep_the_duration_of_their_source_and_all_delays(
    tmp_path: Path, rate: int, durations: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    source = animation(tmp_path / "in.gif", rendered(12), duration=(durations * 4)[:12], loop=2)
    report = interpolate_video(source, tmp_path / "out.gif", model=Averager(), factor=1)
    with Image.open(source) as before, Image.open(tmp_path / "out.gif") as after:
        assert before.n_frames == after.n_frames == 12
        totals = [
            sum(image.seek(n) or image.info["duration"] for n in range(12))
            for image in (before, after)
        ]
    assert totals[0] == totals[1]
    assert (report.problems, plays_of(tmp_path / "out.gif")) == ((), plays_of(source))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_cuts_in_image_sequences_are_detected(tmp_path: Path, deep: bool, alpha: bool) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(8):
        image = np.zeros((64, 96, 4 if alpha else 3), np.uint8)
        image[..., 3:] = 255
        image[:, 60:, :3] = 200 if number < 5 else 20  # the left third alone tells nothing
        write_image(folder / f"{number}.png", image.astype(np.uint16) * 257 if deep else image)
    with open_source(folder, SourceOptions(cut_threshold=10.0)) as reader:
        frames = list(reader.read())
        assert [frame.begins_scene for frame in frames] == [False] * 5 + [True] + [False] * 2
        first, _ = reader.first_picture()
        assert {frame.picture.format.name for frame in frames} == {first.format.name}


@pytest.mark.parametrize(
    ("density", "shape"), [((72, 72), None), ((144, 72), Fraction(2)), ((72, 80), Fraction(9, 10))]
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_sample_aspect_ratio_of_images_is_kept(
    tmp_path: Path, suffix: str, density: tuple[int, int], shape: Fraction | None
) -> None:
    folder = folder_of(tmp_path / "frames", rendered(2), f"%d.{suffix}", dpi=density)
    interpolate_video(folder, tmp_path / "out.mp4", model=Averager())
    with av.open(str(tmp_path / "out.mp4")) as container:
        found = container.streams.video[0].sample_aspect_ratio
        assert (float(found) if found else None) == (
            pytest.approx(float(shape), abs=1e-3) if shape else found and 1
        )
