from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import Averager, frames_of, render_frame

from midframe.media.colour.geometry import FILTERS, UNIT, Geometry, OutputGeometry
from midframe.media.colour.side_data import side_data_of
from midframe.media.reading.reader import VideoReader
from midframe.video.pipeline import interpolate_video
from midframe.video.sinks.lost_colours import lost_samples

HALF_TURN = 1 << 30


def matrix_of(turns: tuple[int, int, int, int]) -> tuple[int, ...]:
    a, b, c, d = (sign * UNIT for sign in turns)
    return (a, b, 0, c, d, 0, 0, 0, HALF_TURN)


def shown(image: np.ndarray, turns: tuple[int, int, int, int]) -> np.ndarray:
    """Apply a display matrix to an image, pixel by pixel (ISO/IEC 14496-12, 8.2.2)."""
    a, b, c, d = turns
    places = {
        (a * x + c * y, b * x + d * y): image[y, x]
        for y in range(image.shape[0])
        for x in range(image.shape[1])
    }
    left, top = min(x for x, _ in places), min(y for _, y in places)
    width, height = 1 + max(x for x, _ in places) - left, 1 + max(y for _, y in places) - top
    return np.array([[places[x + left, y + top] for x in range(width)] for y in range(height)])


def picture_of(image: np.ndarray) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(image, format="rgb24")
    picture.pts, picture.time_base = 7, Fraction(1, 25)
    return picture


@pytest.mark.parametrize("turns", FILTERS)
def test_samples_are_rotated_as_the_display_matrix_states(turns: tuple[int, int, int, int]) -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    geometry = OutputGeometry(
        Geometry(matrix_of(turns)), stores_display_matrix=False, stores_aspect_ratio=True
    )
    result = geometry.apply(picture_of(image))
    assert np.array_equal(result.to_ndarray(), shown(image, turns))
    assert (geometry.display_matrix, result.pts) == (None, 7)


def test_a_target_with_a_display_matrix_keeps_the_samples_unrotated() -> None:
    matrix = matrix_of((0, 1, 1, 0))
    geometry = OutputGeometry(
        Geometry(matrix), stores_display_matrix=True, stores_aspect_ratio=True
    )
    picture = picture_of(np.zeros((4, 6, 3), np.uint8))
    assert geometry.apply(picture) is picture
    assert geometry.display_matrix == matrix


def test_frames_are_scaled_to_square_pixels_if_the_target_has_no_aspect_ratio() -> None:
    geometry = Geometry(matrix_of((0, 1, -1, 0)), sample_aspect_ratio=Fraction(2))
    tagged = OutputGeometry(geometry, stores_display_matrix=False, stores_aspect_ratio=True)
    assert tagged.sample_aspect_ratio == Fraction(1, 2)
    plain = OutputGeometry(geometry, stores_display_matrix=False, stores_aspect_ratio=False).apply(
        picture_of(np.zeros((8, 6, 3), np.uint8))
    )
    assert (plain.width, plain.height) == (4, 6)


def test_cropping_of_the_container_is_applied() -> None:
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    geometry = OutputGeometry(
        Geometry(crop=(1, 2, 3, 0)), stores_display_matrix=True, stores_aspect_ratio=True
    )
    assert np.array_equal(geometry.apply(picture_of(image)).to_ndarray(), image[1:4, 3:])


def render_rotated(path: Path, matrix: tuple[int, ...]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_matrix(matrix)
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("turns", [(0, 1, 1, 0), (0, 1, -1, 0), (-1, 0, 0, 1)])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_rotation_and_mirroring_are_kept(
    tmp_path: Path, name: str, turns: tuple[int, int, int, int]
) -> None:
    source, target = render_rotated(tmp_path / "in.mp4", matrix_of(turns)), tmp_path / name
    interpolate_video(source, target, model=Averager())
    before, after = (side_data_of(frames_of(path)[0])["DISPLAYMATRIX"] for path in (source, target))
    assert before == after


def test_a_rotated_video_becomes_upright_images(tmp_path: Path) -> None:
    source = render_rotated(tmp_path / "in.mp4", matrix_of((0, 1, -1, 0)))
    report = interpolate_video(source, tmp_path / "%d.png", model=Averager())
    with av.open(str(tmp_path / "1.png")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert first.shape == (96, 64, 3)
    assert np.abs(first.astype(int) - shown(render_frame(0), (0, 1, -1, 0))).mean() < 8
    assert report.problems == ()


def test_a_crop_of_the_codec_is_exact_at_its_left_edge(tmp_path: Path) -> None:
    """FFmpeg's decoders crop it in steps of several pixels unless a flag disables that."""
    image, sizes = render_frame(0), []
    for name, options in (
        ("whole.mkv", {"qp": "0"}),
        ("cropped.mkv", {"qp": "0", "x264-params": "crop-rect=6,4,8,2"}),
    ):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", 25, options=options)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux([*stream.encode(frame), *stream.encode(None)])
        with VideoReader(tmp_path / name) as reader:
            sizes.append(next(reader.read()).picture.to_ndarray(format="gray"))
    whole, cropped = sizes
    assert np.array_equal(cropped, whole[4:-2, 6:-8])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mkv", "ffv1"), ("out.mkv", "h264"), ("out.webm", "vp9"), ("out.mp4", "vp9"),
        ("out.mov", "prores"), ("out.ts", "h264"), ("out.avi", "h264"),
    ],
)  # fmt: skip
def test_every_container_keeps_the_sample_aspect_ratio(
    tmp_path: Path, name: str, codec: str
) -> None:
    source = render_anamorphic(tmp_path / "in.mov")
    report = interpolate_video(source, tmp_path / name, model=Averager(), codec=codec)
    of_samples = lost_samples(av.VideoFormat("yuv422p10le"), "yuv422p") if codec == "vp9" else []
    assert (report.dropped, report.problems) == (tuple(of_samples), ())
    with av.open(str(tmp_path / name)) as container:
        next(container.decode(video=0))
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


def test_an_unsupported_sample_aspect_ratio_is_reported(tmp_path: Path) -> None:
    source = render_anamorphic(tmp_path / "in.mov")
    report = interpolate_video(source, tmp_path / "out.avi", model=Averager(), codec="ffv1")
    assert report.dropped == ("sample aspect ratio 64/45 (.avi files cannot hold it)",)


def render_anamorphic(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", 25)
        stream.width, stream.height, stream.pix_fmt = 90, 64, "yuv422p10le"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        for number in range(3):
            image = render_frame(number)[:, :90].copy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path
