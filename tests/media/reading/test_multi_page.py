"""Files of several images."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.image_sequences import animation, render_image, rendered
from helpers.video import Averager, check_refused, frames_of, render_frame
from PIL import Image, features

from midframe.errors import SourceError
from midframe.media.reading import multi_page
from midframe.media.reading.image_reader import ImageReader
from midframe.media.reading.multi_page import is_stack
from midframe.media.reading.sources import open_source
from midframe.options import SourceOptions
from midframe.video.pipeline import interpolate_video


@pytest.mark.parametrize("name", ["in.webp", "in.avif", "in.tif"])
def test_files_with_several_images_are_sources(tmp_path: Path, name: str) -> None:
    if name == "in.avif" and not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    options: dict[str, object] = {"in.webp": {"lossless": True}, "in.avif": {"quality": 95}}.get(
        name, {}
    )
    durations = {} if name == "in.tif" else {"duration": [40, 40, 40, 80]}
    source = animation(tmp_path / name, rendered(4), **options, **durations)
    report = interpolate_video(
        source, tmp_path / "out.mkv", model=Averager(), codec="ffv1", vfr=True
    )
    assert (report.frames_in, report.frames_kept, report.problems) == (4, 4, ())
    assert float(report.length_in) == pytest.approx(0.2 if durations else 0.16)
    for frame, image in zip(frames_of(tmp_path / "out.mkv")[::2], rendered(4), strict=True):
        assert abs(frame.to_ndarray(format="rgb24").astype(int) - image).mean() < 6
    if durations:
        with pytest.raises(ValueError, match="has its own frame times"):
            open_source(source, SourceOptions(source_fps="30"))


def test_pages_of_different_sizes_are_refused(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.tif", [render_frame(0), render_frame(1, 32, 48)])
    check_refused(source, tmp_path / "out.mp4", "holds images of different sizes")


def test_16_bit_pages_keep_their_bits(tmp_path: Path) -> None:
    deep = [image[..., 0].astype(np.uint16) * 257 + 5 for image in rendered(3)]
    source = animation(tmp_path / "in.tif", deep)
    with open_source(source, SourceOptions()) as reader:
        assert isinstance(reader, ImageReader)
        found = [frame.picture.to_ndarray() for frame in reader.read()]
    assert all(
        np.array_equal(image[..., 0], before) for image, before in zip(found, deep, strict=True)
    )
    report = interpolate_video(source, tmp_path / "out.apng", model=Averager())
    assert (report.frames_out, report.problems) == (6, ())
    assert interpolate_video(source, tmp_path / "out.gif", model=Averager()).dropped == (
        "bits beyond 8 of each sample (GIF)",
    )


def test_a_gif_without_delays_keeps_all_its_images(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.gif", rendered(4))
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager())
    assert (report.frames_in, report.frames_kept, report.length_in) == (4, 4, Fraction(4, 10))


@pytest.mark.parametrize("name", ["in.gif", "in.webp"])
def test_images_with_the_shortest_delay_are_shown_as_in_browsers(tmp_path: Path, name: str) -> None:
    source = animation(tmp_path / name, rendered(4), duration=[20, 10, 40, 40])
    report = interpolate_video(source, tmp_path / "out.mkv", model=Averager())
    assert (report.frames_in, report.length_in) == (4, Fraction(200, 1000))


def test_a_gif_that_pillow_reads_has_no_partial_transparency(tmp_path: Path) -> None:
    frames = [Image.fromarray(render_image(n, alpha=True)) for n in range(3)]
    source = animation(tmp_path / "in.gif", frames, duration=10)
    assert interpolate_video(source, tmp_path / "out.gif", model=Averager()).dropped == ()


def test_an_unreadable_gif_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "in.gif").write_bytes(b"")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SourceError, match=r"in\.gif"):
        open_source(tmp_path / "in.gif", SourceOptions())


def test_a_gif_is_examined_again_only_after_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in.gif"
    reads = []
    monkeypatch.setattr(
        multi_page, "is_misread_by_ffmpeg", lambda data: bool(reads.append(len(data)))
    )
    for content in (b"GIF8 one", b"GIF8 another"):
        source.write_bytes(content)
        assert not is_stack(source)
        assert not is_stack(source)
    assert reads == [8, 12]
