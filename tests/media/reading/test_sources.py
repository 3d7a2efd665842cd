"""Pictures, animations and pipes, in and out; alpha; parts of a film; interlaced frames."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.streams import chapters_of, render_rich, texts_of
from helpers.video import Averager, check_refused, frames_of, planes, render_frame, times_of
from PIL import Image

from midframe.errors import VideoError
from midframe.interpolator import Interpolator
from midframe.media.colour.conversion import colour_of, to_rgb
from midframe.media.pictures.images import Array, write_image
from midframe.media.reading.image_sequence import picture_files
from midframe.media.reading.reader import VideoReader
from midframe.media.reading.source import TimeRange
from midframe.media.writing.animation import plays_of
from midframe.models.sepconv import SepConv
from midframe.video.pipeline import interpolate_video

Render = Callable[..., Path]


def pictures(
    folder: Path, count: int, form: str = "%06d.png", deep: bool = False, alpha: bool = False
) -> list[Array]:
    """Write rendered frames into a folder and return them."""
    folder.mkdir()
    made = [rendered(n, deep, alpha) for n in range(count)]
    for number, image in enumerate(made, start=1):
        write_image(folder / (form % number), image)
    return made


def rendered(time: float, deep: bool = False, alpha: bool = False) -> Array:
    image = render_frame(time).astype(np.uint16) * 257 + 3 if deep else render_frame(time)
    if not alpha:
        return image
    rows, columns = np.mgrid[0:64, 0:96]
    opaque = ((rows - 32) ** 2 + (columns - 30 - 2 * time) ** 2 < 24**2) * np.iinfo(image.dtype).max
    return np.dstack([image, opaque.astype(image.dtype)])


def read_pictures(folder: Path) -> list[Array]:
    found = []
    for path in sorted(folder.iterdir()):
        frame = frames_of(path)[0]
        found.append(to_rgb(frame, colour_of(frame)))
    return found


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_pictures_become_twice_as_many_and_keep_every_bit(
    tmp_path: Path, deep: bool, alpha: bool
) -> None:
    before = pictures(tmp_path / "frames", 5, deep=deep, alpha=alpha)
    report = interpolate_video(tmp_path / "frames", tmp_path / "out", model=Averager())
    after = read_pictures(tmp_path / "out")
    assert (len(after), report.frames_out, report.problems) == (10, 10, ())
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:2] == [
        "000001.png",
        "000002.png",
    ]
    for one, other in zip(before, after[::2], strict=True):
        assert other.dtype == one.dtype
        assert np.array_equal(one, other)
    assert abs(after[1].astype(int) - (before[0].astype(int) + before[1]) / 2).max() <= 1


@pytest.mark.parametrize("source", ["frames", "frames/%d.png", "frames/%03d.png"])
def test_pictures_come_in_the_order_of_their_numbers(tmp_path: Path, source: str) -> None:
    before = pictures(tmp_path / "frames", 11, "%03d.png" if "03" in source else "%d.png")
    interpolate_video(
        tmp_path / source, tmp_path / "out.mkv", model=Averager(), codec="ffv1", factor=1
    )
    for expected, frame in zip(before, frames_of(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), expected)


def test_pictures_have_the_rate_that_is_given(tmp_path: Path) -> None:
    pictures(tmp_path / "frames", 4)
    interpolate_video(
        tmp_path / "frames", tmp_path / "out.mp4", model=Averager(), source_fps="30000/1001"
    )
    assert times_of(tmp_path / "out.mp4") == [Fraction(1001, 60000) * n for n in range(8)]
    assert frames_of(tmp_path / "out.mp4")[0].color_range != 2  # players expect limited range
    with pytest.raises(ValueError, match="has its own frame times"):
        interpolate_video(
            tmp_path / "out.mp4", tmp_path / "again.mp4", model=Averager(), source_fps="30"
        )


def test_pictures_may_be_written_over_one_another_only_if_that_is_asked_for(tmp_path: Path) -> None:
    pictures(tmp_path / "frames", 3)
    pattern = tmp_path / "out" / "%04d.jpg"
    interpolate_video(tmp_path / "frames", pattern, model=Averager())
    assert len(list((tmp_path / "out").iterdir())) == 6
    check_refused(tmp_path / "frames", pattern, "0001.jpg exists")
    check_refused(tmp_path / "frames", tmp_path / "out" / "%d.xyz", "images cannot be written")
    interpolate_video(tmp_path / "frames", pattern, model=Averager(), overwrite=True)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("frames", "out")] == []


def test_unusable_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_refused(tmp_path / "empty", tmp_path / "out.mp4", "holds no images")
    check_refused(tmp_path / "frames" / "%d.png", tmp_path / "out.mp4", "holds no images")
    pictures(tmp_path / "frames", 3)
    (tmp_path / "frames" / "000002.png").write_text("no picture")
    check_refused(tmp_path / "frames", tmp_path / "out.mp4", "000002.png cannot be (read|opened)")
    assert picture_files(tmp_path / "film.mp4") is None


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
@pytest.mark.parametrize(("loop", "plays"), [(0, 0), (None, 1), (3, None)])
def test_animations_keep_their_length_and_how_often_they_play(
    tmp_path: Path, suffix: str, loop: int | None, plays: int | None
) -> None:
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    frames = [Image.fromarray(render_frame(n)) for n in range(6)]
    # A GIF says how often it is repeated, or nothing; an APNG how often it is played, once if it
    # says 1.
    kept = {} if loop is None and suffix == ".gif" else {"loop": 1 if loop is None else loop}
    kind = "PNG" if suffix == ".apng" else "GIF"
    frames[0].save(
        source, format=kind, save_all=True, append_images=frames[1:], duration=100, **kept
    )
    report = interpolate_video(source, target, model=Averager())
    assert (report.frames_in, report.frames_out, report.problems) == (6, 12, ())
    assert plays_of(target) == plays_of(source)
    assert plays is None or plays_of(source) == plays
    with Image.open(target) as image:
        assert image.n_frames == 12
        lengths = [image.seek(n) or image.info["duration"] for n in range(12)]
        assert lengths == [50] * 12
        image.seek(2)
        assert abs(np.asarray(image.convert("RGB"), int) - render_frame(1)).mean() < 8


def test_gifs_that_viewers_would_slow_down_are_refused(
    render_video: Render, tmp_path: Path
) -> None:
    source = render_video(frames=3, rate=Fraction(60), sound=True)
    check_refused(source, tmp_path / "out.gif", "give --fps 50 or less")
    report = interpolate_video(source, tmp_path / "out.gif", model=Averager(), fps="50")
    assert report.dropped == ("audio stream 1 (out.gif holds images only)",)


def y4m(path: Path, pixel_format: str = "yuv420p", count: int = 5) -> list[av.VideoFrame]:
    """Render y4m as another program writes it; returns its frames."""
    made = []
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
            made.append(frame)
        container.mux(stream.encode(None))
    return made


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_streams_go_through_pipes(tmp_path: Path, tiny_weights: Path, pixel_format: str) -> None:
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


def test_a_broken_stream_is_refused(tiny_weights: Path) -> None:
    command = [sys.executable, "-m", "midframe", "video", "-", "-", "--model", str(tiny_weights)]
    done = subprocess.run(command, input=b"this is no video", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Traceback" not in done.stderr


ALPHA = {"prores": ("in.mov", "prores_ks", "yuva444p10le"),
"vp9": ("in.webm", "libvpx-vp9", "yuva420p"),
         "ffv1": ("in.mkv", "ffv1", "yuva420p")}  # fmt: skip


def render_clear(path: Path, encoder: str, pixel_format: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, 24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        for n in range(5):
            frame = av.VideoFrame.from_ndarray(rendered(n, alpha=True), format="rgba").reformat(
                format=pixel_format
            )
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ALPHA)
def test_alpha_moves_with_the_picture(tmp_path: Path, codec: str) -> None:
    name, encoder, pixel_format = ALPHA[codec]
    source, target = (
        render_clear(tmp_path / name, encoder, pixel_format),
        tmp_path / f"out{Path(name).suffix}",
    )
    report = interpolate_video(source, target, model=Averager(), codec=codec, factor=4)
    assert (report.dropped, report.problems, report.frames_out) == ((), (), 20)
    with VideoReader(target) as reader:
        clear = [
            to_rgb(frame.picture, reader.first_picture()[1])[..., 3] / 1.0
            for frame in reader.read()
        ]
    peak = max(each.max() for each in clear)
    for n, found in enumerate(clear[:17]):
        before, after = (rendered(time, alpha=True)[..., 3] / 255 for time in (n // 4, n // 4 + 1))
        assert abs(found / peak - (before + (after - before) * (n % 4) / 4)).mean() < 0.02


def test_alpha_that_a_codec_cannot_hold_is_named(tmp_path: Path) -> None:
    source = render_clear(tmp_path / "in.mov", "prores_ks", "yuva444p10le")
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert report.dropped == ("alpha (yuv420p10le has none: prores, vp9 and ffv1 can keep it)",)


def test_colours_behind_clear_pixels_are_not_mixed_in(tiny_model: SepConv) -> None:
    shown = np.zeros((64, 96, 4), np.uint8)
    shown[..., :3] = (255, 0, 0)
    shown[:, :48] = (0, 128, 0, 255)
    other = shown.copy()
    other[:, 48:, :3] = (0, 0, 255)
    tool = Interpolator(tiny_model, device="cpu", precision="float32")
    made, again = (tool.interpolate(each, each) for each in (shown, other))
    assert made.shape == (64, 96, 4)
    assert np.array_equal(made, again)


def test_a_part_of_a_film_comes_with_its_sound_texts_and_chapters(
    packets: Callable[[Path, str], list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    source, target = render_rich(tmp_path / "in.mkv", frames=120), tmp_path / "out.mkv"
    report = interpolate_video(source, target, model=Averager(), start=0.25, end=3)
    assert (report.frames_in, report.frames_out, report.problems) == (66, 132, ())
    sound, kept = packets(source, "audio"), packets(target, "audio")
    inside = [data for data, pts, duration in sound if Fraction(1, 4) <= pts < 3]
    assert [data for data, _, _ in kept] == inside
    assert texts_of(target)[0] == (0, Fraction(150, 1000), "Hello")
    assert texts_of(target)[1][:2] == (Fraction(250, 1000), Fraction(650, 1000))
    ends = [float(edge) for chapter in chapters_of(target) for edge in chapter[:2]]
    assert ends == pytest.approx([0, 2.25, 2.25, 2.75], abs=2e-3)
    assert abs(times_of(target)[0]) < Fraction(1, 20)


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.avi"])
def test_a_part_begins_at_its_frame_wherever_key_frames_are(
    render_video: Render, tmp_path: Path, name: str
) -> None:
    source = render_video(name, frames=200, rate=Fraction(25), sound=False)
    whole = [planes(frame)[0] for frame in frames_of(source)]
    with VideoReader(source, time_range=TimeRange(5.2, 5.6)) as reader:
        found = [planes(frame.picture)[0] for frame in reader.read()]
    assert len(found) == 10
    assert all(map(np.array_equal, found, whole[130:140]))


def test_a_part_outside_of_a_film_is_refused(render_video: Render, tmp_path: Path) -> None:
    check_refused(render_video(frames=24), tmp_path / "out.mp4", "no frame after 100 s", start=100)
    check_refused(
        render_video(frames=24),
        tmp_path / "out.mp4",
        "end is 1 and start is 2: the end must be later than the start",
        ValueError,
        start=2,
        end=1,
    )


def render_interlaced(path: Path, frames: int = 12) -> Path:
    """Rows of two moments in every frame, the lower field first."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", 25, options={"x264-params": "interlaced=1", "crf": "4"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        for n in range(frames):
            woven = render_frame(2 * n + 1)
            woven[1::2] = render_frame(2 * n)[1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv420p")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_interlaced_frames_are_told_of_and_made_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = render_interlaced(tmp_path / "in.mkv")
    interpolate_video(source, tmp_path / "woven.mkv", model=Averager(), codec="ffv1")
    assert "in.mkv is interlaced: use --deinterlace for progressive frames" in caplog.text
    caplog.clear()
    report = interpolate_video(
        source, tmp_path / "whole.mkv", model=Averager(), codec="ffv1", deinterlace=True
    )
    assert (report.frames_in, report.frames_out, report.problems, caplog.text) == (12, 24, (), "")
    combs = [comb(frames_of(tmp_path / name)[12]) for name in ("woven.mkv", "whole.mkv")]
    assert combs[1] < combs[0] / 3
    truth = av.VideoFrame.from_ndarray(render_frame(12), format="rgb24").reformat(format="yuv420p")
    assert abs(planes(frames_of(tmp_path / "whole.mkv")[12])[0] - planes(truth)[0]).mean() < 3


def comb(frame: av.VideoFrame) -> float:
    """How much rows differ from the mean of those beside them."""
    luma = planes(frame)[0]
    return float(abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean())


def test_frames_that_hold_no_fields_stay_as_they_are(render_video: Render, tmp_path: Path) -> None:
    source = render_video(frames=6, sound=False)
    interpolate_video(
        source, tmp_path / "out.mkv", model=Averager(), codec="ffv1", deinterlace=True
    )
    for before, after in zip(frames_of(source), frames_of(tmp_path / "out.mkv")[::2], strict=True):
        assert all(map(np.array_equal, planes(before), planes(after)))


def test_a_target_of_no_kind_is_refused(render_video: Render, tmp_path: Path) -> None:
    with pytest.raises(
        VideoError, match=r"\.mp4 \.m4v \.mkv \.mov \.webm .* \.gif \.apng, or images such as"
    ):
        interpolate_video(render_video(frames=3), tmp_path / "out.txt", model=Averager())


def test_pictures_may_go_into_the_folder_that_one_is_in(
    render_video: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, here = render_video(frames=2, sound=False), tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    interpolate_video(source, "%d.png", model=Averager())
    assert sorted(path.name for path in here.iterdir()) == ["1.png", "2.png", "3.png", "4.png"]
    assert sorted(tmp_path.iterdir()) == [here, source]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system with named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "in.mp4"
    os.mkfifo(pipe)
    with pytest.raises(VideoError, match=r"in.mp4 is a pipe or a device: name a video file, or -"):
        interpolate_video(pipe, tmp_path / "out.mp4", model=Averager())
