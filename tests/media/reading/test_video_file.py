"""Which stream of a file is its video, and what the file states about its end."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
from av.stream import Disposition
from helpers.video import render_frame

from midframe.errors import SourceError
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.video_file import find_video_stream, open_video, stated_end
from midframe.media.streams.trials import plan_streams

Render = Callable[..., Path]
VIDEO, POSTER = ("libx264", "yuv420p", (64, 96), 6), ("mjpeg", "yuvj420p", (48, 48), 1)


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
        ((POSTER, VIDEO), 0, 1),
        ((POSTER, VIDEO), 1, 1),
        ((VIDEO, POSTER), 1, 0),
        ((VIDEO, VIDEO), 1, 1),
        ((VIDEO, VIDEO), -1, 0),
        ((POSTER,), 0, 0),
    ],
)
def test_the_default_video_stream_is_chosen_and_never_a_poster(
    tmp_path: Path,
    suffix: str,
    streams: tuple[tuple[str, str, tuple[int, int], int], ...],
    default: int,
    chosen: int,
) -> None:
    path = tmp_path / f"video{suffix}"
    render_streams(path, *streams, default=default)
    with open_video(path) as container:
        assert find_video_stream(container, path).index == chosen


SECRET = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


def copy(source: Path, target: Path, options: dict[str, str]) -> None:
    """Copy all packets of a video, with options of the muxer."""
    with (
        av.open(str(source)) as given,
        av.open(str(target), "w", container_options=options) as container,
    ):
        streams = [container.add_stream_from_template(stream) for stream in given.streams]
        for packet in given.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)


def test_an_encrypted_video_is_refused_as_encrypted(tmp_path: Path, render_video: Render) -> None:
    copy(render_video(frames=4), tmp_path / "secret.mp4", SECRET)
    with pytest.raises(SourceError, match=r"secret\.mp4 is encrypted"):
        VideoReader(tmp_path / "secret.mp4")


def test_encrypted_sound_is_dropped_and_reported(tmp_path: Path, render_video: Render) -> None:
    copy(render_video(frames=4), tmp_path / "secret.mp4", SECRET)
    with open_video(tmp_path / "secret.mp4") as container:
        sound = container.streams.audio[0]
        plan = plan_streams(
            tmp_path / "secret.mp4", [sound], tmp_path / "out.mp4", Fraction(1), mute=False
        )
    assert plan.dropped == ["audio stream 1 (it is encrypted)"]


def test_an_unknown_duration_is_no_stated_end(tmp_path: Path, render_video: Render) -> None:
    with av.open(str(render_video(frames=4))) as container:
        stream = container.streams.video[0]
        assert stated_end(stream)
        unknown = SimpleNamespace(
            duration=2**32 - 1, start_time=0, time_base=stream.time_base, metadata={}
        )
    assert stated_end(unknown) is None


def test_a_matroska_stream_of_less_than_a_frame_per_five_seconds_is_complete(
    render_video: Render,
) -> None:
    path = render_video("slow.mkv", frames=4, rate=Fraction(1, 10), sound=False)
    with open_video(path) as container:
        stream = container.streams.video[0]
        list(container.demux(stream))  # FFmpeg then takes 30 s for the start of the stream
        assert stated_end(stream) == 40
