"""Which stream of a file is its video, and what the file states about its end."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from helpers.video import render_frame

from midframe.media.reading.video_file import find_video_stream, open_video

FILM, POSTER = ("libx264", "yuv420p", (64, 96), 6), ("mjpeg", "yuvj420p", (48, 48), 1)


def render_streams(
    path: Path, *streams: tuple[str, str, tuple[int, int], int], default: int
) -> None:
    """Write a file with video streams of a codec, pixel format, size and number of frames."""
    with av.open(str(path), "w") as container:
        added = [container.add_stream(codec, Fraction(24)) for codec, *_ in streams]
        for number, (stream, (_, form, (height, width), _)) in enumerate(
            zip(added, streams, strict=True)
        ):
            stream.width, stream.height, stream.pix_fmt = width, height, form
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for stream, (_, form, size, count) in zip(added, streams, strict=True):
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(render_frame(number, *size), format="rgb24")
                frame = frame.reformat(format=form)
                frame.pts, frame.time_base = number, Fraction(1, 24)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
@pytest.mark.parametrize(
    ("streams", "default", "chosen"),
    [
        ((POSTER, FILM), 0, 1),
        ((POSTER, FILM), 1, 1),
        ((FILM, POSTER), 1, 0),
        ((FILM, FILM), 1, 1),
        ((FILM, FILM), -1, 0),
        ((POSTER,), 0, 0),
    ],
)
def test_the_video_is_no_poster_and_the_default_of_several(
    tmp_path: Path,
    suffix: str,
    streams: tuple[tuple[str, str, tuple[int, int], int], ...],
    default: int,
    chosen: int,
) -> None:
    path = tmp_path / f"film{suffix}"
    render_streams(path, *streams, default=default)
    with open_video(path) as container:
        assert find_video_stream(container, path).index == chosen
