from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from helpers.video import Averager, First, Render, frames_of, planes, render_frame
from PIL import Image

from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import Colour, colour_of, convert_format
from midframe.media.pictures.images import Array
from midframe.video.pipeline import interpolate_video
from midframe.video.samples import Samples, blended_frame, interpolated_frame

HALF = Fraction(1, 2)
PLANAR = ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "yuvj420p",
"yuv420p10le", "yuv422p10le",
          "yuv444p12le", "yuv420p16le", "yuva420p", "yuva444p10le", "gray", "gray10le")  # fmt: skip
OTHERS = {"nv12": "yuv420p", "nv21": "yuv420p", "p010le": "yuv420p10le", "yuyv422": "yuv422p",
"uyvy422": "yuv422p",
          "ya8": "yuva444p", "yuv422p10be": "yuv422p10le", "rgb24": "rgb24", "bgr0": "rgb24",
          "gbrp10le": "rgb48le", "bgra": "rgba"}  # fmt: skip
SIZES = ((18, 32), (17, 31))


def noise(pixel_format: str, height: int, width: int, seed: int = 0) -> av.VideoFrame:
    """Random samples over all codes: above white, below black, and colours outside of RGB."""
    frame = av.VideoFrame(width, height, pixel_format)
    bits = max(part.bits for part in frame.format.components)
    generator = np.random.default_rng(seed)
    for plane in frame.planes:
        samples = np.frombuffer(plane, np.uint16 if bits > 8 else np.uint8)
        samples[:] = generator.integers(0, 2**bits, samples.shape)
    return frame


def lossless(path: Path, frames: list[av.VideoFrame], full: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = (
            frames[0].width,
            frames[0].height,
            frames[0].format.name,
        )
        stream.codec_context.color_range = 2 if full else 1
        for pts, frame in enumerate(frames):
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def triples(path: Path) -> Iterator[list[list[Array]]]:
    """Yield each interpolated frame of a result at twice the rate, with the frames around it."""
    shown = [planes(frame) for frame in frames_of(path)]
    yield from ([shown[n - 1], shown[n], shown[n + 1]] for n in range(1, len(shown) - 1, 2))


@pytest.mark.parametrize("size", SIZES, ids=["even", "odd"])
@pytest.mark.parametrize("pixel_format", [*PLANAR, *OTHERS])
def test_an_unchanged_frame_is_restored_exactly(pixel_format: str, size: tuple[int, int]) -> None:
    planar = OTHERS.get(pixel_format, pixel_format)
    frame = noise(planar, *size)
    frame = frame if planar == pixel_format else frame.reformat(format=pixel_format)
    samples = Samples(frame, colour_of(frame))
    assert samples.format.name == planar
    interpolated = interpolated_frame(
        samples.tensor(), samples, samples, HALF, keep_source_areas=False
    )
    assert interpolated.format.name == planar
    for before, after in zip(
        samples.planes, Samples(interpolated, samples.colour).planes, strict=True
    ):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("size", SIZES, ids=["even", "odd"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuva420p"]
)
def test_an_interpolated_frame_between_equal_ones_equals_them(
    tmp_path: Path, pixel_format: str, full: bool, size: tuple[int, int]
) -> None:
    source = lossless(tmp_path / "in.mkv", [noise(pixel_format, *size)] * 3, full)
    interpolate_video(source, tmp_path / "out.mkv", model=First(), codec="ffv1", overlays=False)
    for before, interpolated, _ in triples(tmp_path / "out.mkv"):
        assert all(np.array_equal(*pair) for pair in zip(before, interpolated, strict=True))


@pytest.mark.parametrize("name", ["frames/%02d.png", "out.apng", "out.mp4"])
@pytest.mark.parametrize("size", [(64, 96), (63, 95)], ids=["even", "odd"])
def test_source_and_interpolated_frames_are_converted_the_same_way(
    render_video: Render, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    """The chroma of H.264 is located at the left one of two pixels, which conversions respect."""
    codec = "libx264" if size[0] % 2 == 0 else "ffv1"
    source, target = (
        render_video("in.mkv", frames=3, size=size, sound=False, codec=codec),
        tmp_path / name,
    )
    interpolate_video(source, target, model=First(), crf=0, overlays=False)
    if target.suffix == ".png":
        shown = [np.array(Image.open(path)) for path in sorted(target.parent.iterdir())]
    else:
        shown = [frame.to_ndarray(format="rgb24") for frame in frames_of(target)]
    assert len(shown) == 6
    assert not np.array_equal(shown[0], shown[2])
    assert np.array_equal(shown[0], shown[1])
    assert np.array_equal(shown[2], shown[3])


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_luma_above_white_and_below_black_is_interpolated(
    tmp_path: Path, pixel_format: str
) -> None:
    deep = "10" in pixel_format
    frames = []
    for n in range(4):
        frame = noise(pixel_format, 48, 160)
        luma, *chroma = Samples(frame, colour_of(frame)).planes
        luma[:] = ((np.arange(160) * 2 + 2 * n) % 320 * (254 / 319)).astype(np.uint16) * (
            4 if deep else 1
        )
        for plane in chroma:
            plane[:] = 512 if deep else 128
        frames.append(frame)
    source = lossless(tmp_path / "in.mkv", frames)
    interpolate_video(source, tmp_path / "out.mkv", codec="ffv1", overlays=False, device="cpu")
    step = 4 if deep else 1
    for before, interpolated, after in triples(tmp_path / "out.mkv"):
        assert interpolated[0].max() >= min(before[0].max(), after[0].max()) - 4 * step > 240 * step
        assert interpolated[0].min() <= max(before[0].min(), after[0].min()) + 4 * step < 12 * step


def red_text(time: int, pixel_format: str) -> av.VideoFrame:
    """Red strokes on a static white field before a moving background."""
    image = render_frame(2 * time, 96, 160)
    image[24:56, 32:112] = 255
    strokes = np.random.default_rng(0).integers(0, 2, (8, 24)).repeat(2, 0).repeat(3, 1)
    image[32:48, 36:108][strokes == 1] = (255, 0, 0)
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_static_coloured_text_is_kept(tmp_path: Path, pixel_format: str) -> None:
    source = lossless(tmp_path / "in.mkv", [red_text(n, pixel_format) for n in range(4)])
    interpolate_video(source, tmp_path / "out.mkv", codec="ffv1", device="cpu")
    step = 4 if "10" in pixel_format else 1
    for before, interpolated, after in triples(tmp_path / "out.mkv"):
        for first, middle, second in zip(before, interpolated, after, strict=True):
            down, across = 96 // first.shape[0], 160 // first.shape[1]
            text = slice(28 // down, 52 // down), slice(36 // across, 108 // across)
            assert np.array_equal(first[text], second[text])
            assert abs(middle[text] - first[text]).max() <= 2 * step


def test_overshoot_is_clipped_to_the_range_of_the_source_frames() -> None:
    frame = noise("yuv444p", 16, 16)
    colour = colour_of(frame)
    for top, expected in ((200, 235), (250, 250)):
        for plane in Samples(frame, colour).planes:
            plane[:] = 128
        Samples(frame, colour).planes[0][0, 0] = top
        samples = Samples(frame, colour)
        interpolated = interpolated_frame(
            torch.full((1, 3, 16, 16), 1.5), samples, samples, HALF, keep_source_areas=False
        )
        assert planes(interpolated)[0].max() == expected


@pytest.mark.parametrize("pixel_format", ["yuva420p", "rgba"])
def test_colours_of_transparent_pixels_are_kept(pixel_format: str) -> None:
    """Encoders without alpha show them."""
    frame = noise(pixel_format, 16, 16)
    colour = colour_of(frame)
    samples = Samples(frame, colour)
    alpha = samples.planes[-1] if pixel_format == "yuva420p" else samples.planes[0][..., 3]
    alpha[:] = 0
    image = samples.tensor().clone()
    image[:, :3] = 0
    interpolated = Samples(
        interpolated_frame(image, samples, samples, HALF, keep_source_areas=False), colour
    )
    assert all(
        np.array_equal(*pair) for pair in zip(samples.planes, interpolated.planes, strict=True)
    )


def test_frames_are_blended_sample_by_sample() -> None:
    first, second = (
        Samples(noise("yuv420p", 16, 16, seed), Colour(1, False, False)) for seed in (0, 1)
    )
    interpolated = planes(blended_frame(first, second, Fraction(1, 4)))
    for one, other, mixed in zip(first.planes, second.planes, interpolated, strict=True):
        assert abs(one * 0.75 + other * 0.25 - mixed).max() <= 0.5


def test_side_data_is_not_copied_to_interpolated_frames(render_video: Render) -> None:
    frame = frames_of(render_video(frames=1))[0]
    assert len(frame.side_data)  # of x264 itself
    samples = Samples(frame, colour_of(frame))
    interpolated = interpolated_frame(samples.tensor(), samples, samples, HALF)
    assert not len(interpolated.side_data)
    assert len(frame.side_data)


def test_interpolation_does_not_change_the_source_frames(render_video: Render) -> None:
    first, second = (
        Samples(frame, colour_of(frame)) for frame in frames_of(render_video(frames=2))
    )
    kept = [plane.copy() for plane in (*first.planes, *second.planes)]
    tool = Interpolator("flowsep", device="cpu")
    with tool.on_free_device() as here:
        image = here.interpolate(first.tensor(), second.tensor(), [HALF])[0]
    interpolated_frame(image, first, second, HALF)
    assert all(
        np.array_equal(*pair) for pair in zip(kept, (*first.planes, *second.planes), strict=True)
    )


class Taker(Averager):
    """Returns its input."""

    def interpolate_many(
        self, first: Array, second: Array, times: Any, *, progress: Any = None
    ) -> list[Array]:
        self.given = first
        return super().interpolate_many(first, second, times, progress=progress)


@pytest.mark.parametrize("pixel_format", ["bgr0", "yuv444p"])
def test_networks_receive_rgb_with_white_as_1(tmp_path: Path, pixel_format: str) -> None:
    tool = Taker()
    frame = av.VideoFrame.from_ndarray(render_frame(0), format="rgb24").reformat(
        format=pixel_format
    )
    interpolate_video(
        lossless(tmp_path / "in.mkv", [frame] * 2), tmp_path / "out.mkv", model=tool, codec="ffv1"
    )
    assert tool.given.dtype == np.float32
    assert abs(tool.given - render_frame(0) / 255).max() < (
        1e-6 if pixel_format == "bgr0" else 0.02
    )


def test_interpolated_frames_can_be_converted_to_other_formats() -> None:
    frame = noise("nv12", 16, 16)
    colour = colour_of(frame)
    samples = Samples(frame, colour)
    interpolated = interpolated_frame(samples.tensor(), samples, samples, HALF)
    for name in ("nv12", "yuv444p", "yuv420p10le", "rgb24"):
        assert np.array_equal(
            convert_format(interpolated, colour, name).to_ndarray(),
            convert_format(frame, colour, name).to_ndarray(),
        )
