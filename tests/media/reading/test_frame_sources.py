"""The contract of `FrameSource`, which every implementation fulfils."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.video import render_frame
from PIL import Image

from midframe.errors import SourceError
from midframe.media.reading.opacity import lost_alpha
from midframe.media.reading.pipes import PipeReader
from midframe.media.reading.source import WHOLE_SOURCE, FrameSource, TimeRange
from midframe.media.reading.sources import open_source
from midframe.options import SourceOptions

Render = Callable[..., Path]
COUNT, RATE = 8, Fraction(10)
KINDS = ["in.mp4", "in.ts", "in.gif", "in.webp", "in.tif", "frames", "frames/%02d.png", "-"]
ONCE = ("-",)
"""Sources that can be read only once, whose frames are not uses_dts before."""


def write_source(kind: str, folder: Path, render_video: Render) -> Path:
    """Write eight frames at 10 frames per second as one type of source; return its name."""
    images = [Image.fromarray(render_frame(number)) for number in range(COUNT)]
    path = folder / kind
    if kind.startswith("frames"):
        (folder / "frames").mkdir()
        for number, image in enumerate(images):
            image.save(folder / "frames" / f"{number:02d}.png")
    elif kind in ("in.gif", "in.webp", "in.tif"):
        images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    elif kind == "-":
        path = folder / "in.y4m"
        with av.open(str(path), "w", format="yuv4mpegpipe") as container:
            stream: Any = container.add_stream("wrapped_avframe", RATE)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for number, image in enumerate(images):
                frame = av.VideoFrame.from_image(image).reformat(format="yuv420p")
                frame.pts, frame.time_base = number, 1 / RATE
                container.mux(stream.encode(frame))
    else:
        codec = "mpeg2video" if kind == "in.ts" else "libx264"
        rate = Fraction(25) if kind == "in.ts" else RATE
        path = render_video(kind, frames=COUNT, rate=rate, codec=codec)
    return path


@pytest.fixture(params=KINDS)
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, render_video: Render
) -> Callable[..., Any]:
    """Opens a time range of a source, again at each call."""
    path = write_source(request.param, tmp_path, render_video)

    @contextmanager
    def open_part(start: float = 0.0, end: float | None = None) -> Iterator[FrameSource]:
        if request.param in ONCE:
            file = os.open(path, os.O_RDONLY)
            try:
                with PipeReader(time_range=TimeRange(start, end), descriptor=file) as source:
                    yield source
            finally:
                os.close(file)
            return
        rate = RATE if path.is_dir() or "%" in path.name or path.suffix == ".tif" else None
        with open_source(path, SourceOptions(start, end, source_fps=rate)) as source:
            yield source

    return open_part


def luma(picture: av.VideoFrame) -> np.ndarray[Any, Any]:
    return picture.to_ndarray(format="gray").astype(int)


def test_frames_are_in_order_and_as_many_as_expected(opened: Callable[..., Any]) -> None:
    with opened() as source:
        frames = list(source.read())
        assert len(frames) == source.frames_read == len(source.thumbnails) == COUNT
        assert source.expected_frames in (None, COUNT)
        times = [frame.pts * source.time_base for frame in frames]
        assert {after - before for before, after in pairwise(times)} == {1 / source.rate}
        assert times == [each.time for each in source.thumbnails]
        assert times[0] == source.start
        assert source.end in (None, times[-1] + 1 / source.rate)
        assert not any(frame.begins_scene for frame in frames)
        for frame, number in zip(frames, range(COUNT), strict=True):
            difference = luma(frame.picture) - luma(
                av.VideoFrame.from_ndarray(render_frame(number), format="rgb24")
            )
            assert abs(difference).mean() < 12


def test_the_properties_of_a_source_are_available_before_reading(
    opened: Callable[..., Any],
) -> None:
    with opened() as source:
        assert (source.frames_read, list(source.thumbnails), source.warnings) == (0, [], [])
        assert source.damage.places == ()
        assert (source.time_range, source.rate) == (WHOLE_SOURCE, source.source_rate.rate)
        assert source.source_rate.regular
        assert source.frame_duration * source.time_base == 1 / source.rate
        assert source.geometry.display_matrix is None
        assert source.contents.shift >= -source.start
        streams = [each.index for each in source.other_streams]
        assert len(set(streams)) == len(streams)


def test_the_first_frame_is_yielded_again_by_read(opened: Callable[..., Any]) -> None:
    with opened() as source:
        first, colour = source.first_picture()
        frames = list(source.read())
        assert np.array_equal(luma(first), luma(frames[0].picture))
        form = (first.width, first.height, first.format.name)
        assert {(each.picture.width, each.picture.height, each.picture.format.name)
                for each in frames} == {form}  # fmt: skip
        assert (colour.high_bit_depth, source.geometry.sample_aspect_ratio) in (
            (False, None),
            (False, 1),
        )


def test_a_time_range_begins_and_ends_at_its_times(opened: Callable[..., Any]) -> None:
    with opened() as source:
        step = float(1 / source.rate)
    with opened(2 * step, 5 * step) as source:
        times = [frame.pts * source.time_base for frame in source.read()]
        assert len(times) == source.frames_read == 3
        assert source.expected_frames in (None, 3)
        assert times[0] - source.start == 2 / source.rate
        assert source.end is None


def test_a_time_range_after_the_end_has_no_frames(opened: Callable[..., Any]) -> None:
    with opened(60) as source, pytest.raises(SourceError, match="choose an earlier --start"):
        list(source.read())


def test_frames_can_be_decoded_again_while_reading(opened: Callable[..., Any]) -> None:
    with opened() as source:
        again = source.decode_again()
        if again is None:
            assert source.expected_frames is None
            assert lost_alpha(source) == "alpha"
            return
        assert lost_alpha(source) == ""
        reading = source.read()
        pairs = list(zip(reading, again, strict=True))
        assert len(pairs) == COUNT
        for frame, decoded in pairs:
            assert np.array_equal(luma(frame.picture), luma(decoded))


def test_packets_of_other_streams_are_read_from_a_reopened_source(
    opened: Callable[..., Any],
) -> None:
    with opened() as source:
        with source.reopen() as again:
            assert [each.type for each in again.other_streams] == [
                each.type for each in source.other_streams
            ]
            found = [packet.stream.index for packet in again.packets(again.other_streams)]
        assert set(found) == {each.index for each in source.other_streams}
        assert len(list(source.read())) == COUNT
