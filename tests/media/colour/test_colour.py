from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import First, frames_of, planes, render_frame

from midframe.media.colour.conversion import (
    BT709,
    Colour,
    colour_of,
    convert_format,
    from_rgb,
    grey,
    to_rgb,
)
from midframe.media.pixel_formats import is_rgb
from midframe.video.pipeline import interpolate_video

MATRICES = {"bt601": 5, "bt709": 1, "bt2020": 9}
FORMATS = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")


def picture(
    pixel_format: str, matrix: int, full: bool, alpha: bool = False
) -> tuple[av.VideoFrame, Colour]:
    """Render a frame of a pixel format, matrix and range, with the tags of these."""
    deep = "10" in pixel_format
    image = render_frame(1).astype(np.uint16) * 257 if deep else render_frame(1)
    if alpha:
        image = np.dstack([image, image[..., :1]])
    colour = Colour(matrix, full, deep, alpha)
    frame = from_rgb(image, colour, pixel_format)
    frame.colorspace, frame.color_range = matrix, colour.range
    return frame, colour


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("full", [False, True])
def test_an_interpolated_frame_between_equal_ones_equals_them_in_the_mean(
    tmp_path: Path, pixel_format: str, matrix: int, full: bool
) -> None:
    frame, colour = picture(pixel_format, matrix, full)
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixel_format
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, colour.range
        for n in range(3):
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    interpolate_video(source, target, model=First(), codec="ffv1")
    shown = frames_of(target)
    assert colour_of(shown[1]) == colour
    for kept, middle in zip(planes(shown[0]), planes(shown[1]), strict=True):
        assert abs(kept.mean() - middle.mean()) < 0.1


@pytest.mark.parametrize("pixel_format", ["yuva420p", "yuva444p10le"])
@pytest.mark.parametrize("full", [False, True])
def test_alpha_is_restored_after_conversion_to_rgb_and_back(pixel_format: str, full: bool) -> None:
    frame, colour = picture(pixel_format, BT709, full, alpha=True)
    again = from_rgb(to_rgb(frame, colour), colour, pixel_format)
    for before, after in zip(planes(frame), planes(again), strict=True):
        assert abs(before.mean() - after.mean()) < 0.1
    assert np.array_equal(planes(frame)[3], planes(again)[3])


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["red", "green", "blue", "white", "black", "grey"])
def test_pure_colours_have_the_codes_of_the_standard(name: str, full: bool) -> None:
    """ITU-R BT.709, tables of section 4: 8-bit codes."""
    rgb = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3,
    "black": (0,) * 3,
           "grey": (128,) * 3}[name]  # fmt: skip
    red, green, blue = (part / 255 for part in rgb)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    chroma = ((blue - luma) / 1.8556, (red - luma) / 1.5748)
    scale, black, wide = (255, 0, 255) if full else (219, 16, 224)
    expected = [black + scale * luma, *(128 - 0.0 + wide * each for each in chroma)]
    frame = from_rgb(np.full((16, 16, 3), rgb, np.uint8), Colour(BT709, full, False), "yuv444p")
    for plane, code in zip(planes(frame), expected, strict=True):
        assert abs(plane.mean() - min(code, 255)) <= 1


def test_rgb_is_encoded_as_limited_range_luma_and_chroma(tmp_path: Path) -> None:
    frame = av.VideoFrame.from_ndarray(render_frame(0), format="rgb24")
    colour = colour_of(frame)
    assert (colour.full_range, is_rgb(frame.format)) == (True, True)
    limited = convert_format(frame, colour, "yuv444p", replace(colour, full_range=False))
    back = to_rgb(limited, replace(colour, full_range=False))
    assert abs(back.astype(int) - render_frame(0)).max() <= 2


@pytest.mark.timeout(60)  # or it would wait for ever
def test_two_threads_can_convert_the_same_frame() -> None:
    frame, colour = picture("yuv420p", BT709, False)
    expected = [to_rgb(frame, colour), planes(convert_format(frame, colour, "yuv444p"))[1]]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(200):
            rgb = pool.submit(to_rgb, frame, colour)
            full = pool.submit(convert_format, frame, colour, "yuv444p")
            assert np.array_equal(rgb.result(), expected[0])
            assert np.array_equal(planes(full.result())[1], expected[1])


def test_one_bit_frames_are_black_and_white() -> None:
    grey = av.VideoFrame.from_ndarray(
        np.repeat(np.repeat([[0, 255], [255, 0]], 8, 0), 8, 1).astype(np.uint8), "gray"
    )
    ink = grey.reformat(format="monow")
    image = to_rgb(ink, replace(colour_of(ink), full_range=True))
    assert image.dtype == np.uint8
    assert (image[2, 2].tolist(), image[2, 12].tolist()) == ([0, 0, 0], [255, 255, 255])


def test_ycgco_is_converted_by_its_definition() -> None:
    image = render_frame(1)
    red, green, blue = (image[..., place].astype(float) for place in range(3))
    planes_ = [
        (red + 2 * green + blue) / 4,
        (2 * green - red - blue) / 4 + 128,
        (red - blue) / 2 + 128,
    ]
    frame = from_rgb(image, Colour(8, True, False), "yuv444p")
    for plane, expected in zip(planes(frame), planes_, strict=True):
        assert np.abs(plane - expected.clip(0, 255)).max() <= 1
    frame.colorspace = 8
    assert np.abs(to_rgb(frame, Colour(8, True, False)).astype(int) - image).max() <= 2


@pytest.mark.parametrize("matrix", [8, 10, 11, 12, 14, 16])
@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le"])
def test_matrices_that_ffmpeg_does_not_support_are_kept(
    tmp_path: Path, matrix: int, pixel_format: str
) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        stream.codec_context.colorspace = matrix
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            given = frame.reformat(format=pixel_format)
            given.pts, given.colorspace = number, matrix
            container.mux(stream.encode(given))
        container.mux(stream.encode(None))
    report = interpolate_video(source, target, model=First(), codec="ffv1", cut_threshold=10)
    assert (report.frames_unchanged, report.problems) == (3, ())
    before, after = frames_of(source), frames_of(target)[::2]
    assert int(after[0].colorspace) == matrix
    for was, now in zip(before, after, strict=True):
        assert all(map(np.array_equal, planes(was), planes(now)))


@pytest.mark.parametrize("matrix", [1, 2, 5, 8, 9, 10])
def test_grey_is_the_luma_whatever_the_chroma_and_the_matrix(matrix: int) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    rng = np.random.default_rng(0)
    for plane in frame.planes:
        plane.update(rng.integers(16, 236, plane.buffer_size, np.uint8).tobytes())
    frame.colorspace = matrix
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(48, -1)[:, :64]
    expanded = (luma.astype(float) - 16) * 255 / 219
    assert np.abs(grey(frame) - expanded).max() <= 1
