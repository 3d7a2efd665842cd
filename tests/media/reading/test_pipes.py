"""Videos through pipes."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from threading import Thread, Timer

import av
import numpy as np
import pytest
from helpers.signals import default_signals
from helpers.sound import render_tone
from helpers.video import Averager, frames_of, planes, render_frame

from midframe.errors import VideoError
from midframe.media.reading.pipes import PipeReader, ReadInterrupted
from midframe.media.reading.reader import VideoReader
from midframe.video.pipeline import interpolate_video


def y4m(path: Path, pixel_format: str = "yuv420p", count: int = 5) -> list[av.VideoFrame]:
    """Render y4m as another program writes it; returns its frames."""
    rendered = []
    options = {"strict": "experimental"}
    with av.open(str(path), "w", format="yuv4mpegpipe", container_options=options) as container:
        stream = container.add_stream("wrapped_avframe", Fraction(24000, 1001))
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        for n in range(count):
            frame = av.VideoFrame.from_ndarray(render_frame(n), format="rgb24").reformat(
                format=pixel_format
            )
            frame.pts = n
            container.mux(stream.encode(frame))
            rendered.append(frame)
        container.mux(stream.encode(None))
    return rendered


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_streams_are_read_from_and_written_to_pipes(
    tmp_path: Path, tiny_weights: Path, pixel_format: str
) -> None:
    before = y4m(tmp_path / "in.y4m", pixel_format)
    command = [sys.executable, "-m", "midframe", "video", "-", "-", "--model", str(tiny_weights)]
    done = subprocess.run(
        command, input=(tmp_path / "in.y4m").read_bytes(), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 W96 H64 F48000:1001 ")
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    after = frames_of(tmp_path / "out.y4m")
    assert len(after) == 10
    for one, other in zip(before, after[::2], strict=True):
        assert all(map(np.array_equal, planes(one), planes(other)))
    assert b"10 frames from 5" in done.stderr


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p10le", "gray"])
def test_y4m_that_ends_within_a_frame_is_reported(tmp_path: Path, form: str) -> None:
    y4m(tmp_path / "in.y4m", form)
    content = (tmp_path / "in.y4m").read_bytes()
    for name, cut in (("whole.y4m", 0), ("cut.y4m", 100)):
        path = tmp_path / name
        path.write_bytes(content[: len(content) - cut])
        with path.open("rb") as file, PipeReader(descriptor=file.fileno()) as pipe:
            count = len(list(pipe.read()))
        with VideoReader(path) as reader:
            assert len(list(reader.read())) == count == (4 if cut else 5)
        for source, what in ((pipe, "stream"), (reader, "file")):
            ends = [place for place in source.damage.places if "ends within a frame" in place]
            assert ends == ([f"the {what} ends within a frame at 0.17 s"] if cut else [])


def test_sound_of_an_flv_pipe_may_be_longer_than_its_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.flv"), "w") as container:
        video, sound = container.add_stream("libx264", 25), container.add_stream("aac", 44100)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for number in range(5):
            picture = av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for _ in range(88):  # 2 s
            silence = np.zeros((2, 1024), np.float32)
            samples = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
            samples.sample_rate = 44100
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with (tmp_path / "in.flv").open("rb") as file, PipeReader(descriptor=file.fileno()) as pipe:
        assert len(list(pipe.read())) == 5
    assert pipe.damage.places == ()


@pytest.mark.slow
def test_sound_in_a_pipe_is_reported(tmp_path: Path) -> None:
    source = render_tone(tmp_path / "in.mkv")
    with source.open("rb") as file, PipeReader(descriptor=file.fileno()) as pipe:
        assert pipe.warnings == [
            "a pipe is read for its video only, so its streams of audio are dropped: name a file "
            "to keep them"
        ]


def test_a_broken_stream_is_refused(tiny_weights: Path) -> None:
    command = [sys.executable, "-m", "midframe", "video", "-", "-", "--model", str(tiny_weights)]
    done = subprocess.run(command, input=b"this is no video", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system with named pipes")
def test_a_pipe_without_a_writer_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "in.mp4"
    os.mkfifo(pipe)
    with pytest.raises(VideoError, match=r"in.mp4 is a pipe or a device: name a video file, or -"):
        interpolate_video(pipe, tmp_path / "out.mp4", model=Averager())


@pytest.mark.skipif(sys.platform == "win32", reason="a read cannot be interrupted there")
@pytest.mark.parametrize("count", [0, 20])
def test_ctrl_c_ends_the_wait_for_a_stalled_pipe(tmp_path: Path, count: int) -> None:
    y4m(tmp_path / "in.y4m")
    output, stalled = os.pipe()
    os.write(stalled, (tmp_path / "in.y4m").read_bytes()[:count])
    with default_signals():
        Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            PipeReader(descriptor=output)
    os.close(output)
    os.close(stalled)


@pytest.mark.skipif(sys.platform == "win32", reason="a read cannot be interrupted there")
def test_a_thread_that_waits_for_a_stalled_pipe_can_be_ended(tmp_path: Path) -> None:
    y4m(tmp_path / "in.y4m")
    output, stalled = os.pipe()
    os.write(stalled, (tmp_path / "in.y4m").read_bytes()[:-100])
    ended: list[type] = []

    def read() -> None:
        try:
            list(pipe.read())
        except Exception as error:
            ended.append(type(error))

    with PipeReader(descriptor=output) as pipe:
        thread = Thread(target=read, daemon=True)
        thread.start()
        pipe.interrupt()
        thread.join(20)
        assert not thread.is_alive()
    assert ended == [ReadInterrupted]
    os.close(output)
    os.close(stalled)
