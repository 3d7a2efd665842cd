"""The contract of `Target` and `Sink`, which every implementation fulfils."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.video import Averager, Render, frames_of, planes
from PIL import Image

from midframe.errors import VideoError
from midframe.media.colour.conversion import to_rgb
from midframe.media.pictures.images import Array
from midframe.media.reading.sources import open_source
from midframe.options import CompareOptions, EncodingOptions, SourceOptions
from midframe.video.compare import compare_video
from midframe.video.pipeline import interpolate_video
from midframe.video.plan import Extent
from midframe.video.rendered_frame import RenderedFrame
from midframe.video.report import VideoReport
from midframe.video.segments import segments_folder
from midframe.video.sinks.comparison import GAP, ComparisonTarget
from midframe.video.sinks.pipe import PipeTarget
from midframe.video.sinks.protocol import Conversion, Sink, Target
from midframe.video.sinks.targets import target_for
from midframe.video.timeline import ConstantRate

COUNT, RATE = 6, Fraction(25)
VIDEOS = ["out.mp4", "out.mkv", "out.avi"]
NAMES = [*VIDEOS, "out.gif", "out.apng", "out", "out/%03d.png", "compare.mp4", "-"]
EXACT = ("out.apng", "out", "out/%03d.png")


def target_of(name: str, folder: Path) -> Target:
    """A target by its name; y4m goes to a file, whose descriptor is closed with the process."""
    if name == "-":
        file = os.open(folder / "out.y4m", os.O_WRONLY | os.O_CREAT)
        return PipeTarget(Path("-"), EncodingOptions(), file)
    if name == "compare.mp4":
        return ComparisonTarget(folder / name, EncodingOptions(crf=4), CompareOptions(slower=1))
    return target_for(folder / name, EncodingOptions(crf=4 if name in VIDEOS else 18))


def result_of(name: str, folder: Path) -> Path:
    """Return the files of a result."""
    return folder / ("out.y4m" if name == "-" else name.partition("/")[0])


def shown(name: str, folder: Path) -> list[Array]:
    """The frames of a result, RGB; of a comparison those on the right."""
    result = result_of(name, folder)
    if result.is_dir():
        return [np.asarray(Image.open(path)).astype(int) for path in sorted(result.iterdir())]
    frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in frames_of(result)]
    return [each[16:80, 96 + GAP :] for each in frames] if name == "compare.mp4" else frames


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def job(render_video: Render) -> Iterator[Conversion]:
    with open_source(render_video(frames=COUNT, rate=RATE), SourceOptions()) as source:
        picture, colour = source.first_picture()
        settings = {"crf": 18}
        yield Conversion(
            source, picture, colour, ConstantRate(RATE), settings, VideoReport(), mute=False
        )


def rendered(job: Conversion) -> list[RenderedFrame]:
    """All source frames, unchanged, at their times."""
    step = 1 / (RATE * job.timeline.time_base)
    return [
        RenderedFrame(frame.picture, number * int(step), 0, frame.picture)
        for number, frame in enumerate(job.source.read())
    ]


def extent_of(job: Conversion) -> Extent:
    end = COUNT / RATE
    return Extent(Fraction(0), end, Fraction(0), end, round(end / job.timeline.time_base), 0)


def opened(name: str, folder: Path, job: Conversion, **options: Any) -> Sink:
    target = target_of(name, folder)
    target.check(job.source.path, overwrite=options.get("overwrite", False))
    return target.begin(job, resume=False, overwrite=options.get("overwrite", False))


def test_a_result_appears_when_it_is_finished(name: str, tmp_path: Path, job: Conversion) -> None:
    sink = opened(name, tmp_path, job)
    frames = rendered(job)
    job.report.frames_in = job.report.frames_kept = COUNT
    assert sink.finished == 0
    assert sink.encoding.time_base > 0
    sink.write(frames)
    sink.check_progress()
    assert name == "-" or not result_of(name, tmp_path).exists()
    sink.finish(extent_of(job))
    found = shown(name, tmp_path)
    assert len(found) == COUNT
    for image, frame in zip(found, frames, strict=True):
        difference = abs(image[..., :3] - to_rgb(frame.picture, job.colour).astype(int))
        assert difference.mean() < (0.5 if name in EXACT else 8)
    assert job.report.problems == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["in.mp4", result_of(name, tmp_path).name]
    )


def test_aborted_work_without_a_segment_is_deleted(
    name: str, tmp_path: Path, job: Conversion
) -> None:
    before = sorted(tmp_path.iterdir())
    sink = opened(name, tmp_path, job)
    assert sink.abort() is None
    (tmp_path / "out.y4m").unlink(missing_ok=True)
    assert sorted(tmp_path.iterdir()) == before


def test_aborted_work_keeps_its_segments_if_it_can_be_resumed(
    name: str, tmp_path: Path, job: Conversion
) -> None:
    sink = opened(name, tmp_path, job)
    frames = rendered(job)
    if name in ("-", "compare.mp4"):
        assert sink.abort() is None
        return
    sink.write(frames)
    kept = sink.abort()
    assert kept == segments_folder(result_of(name, tmp_path))
    again = target_of(name, tmp_path).begin(job, resume=True, overwrite=False)
    assert again.finished == 1
    job.report.frames_in = job.report.frames_kept = COUNT
    again.finish(extent_of(job))
    assert len(shown(name, tmp_path)) == COUNT
    assert job.report.problems == ()
    assert again.abort() is None


def test_a_second_sink_for_the_same_result_is_refused(
    name: str, tmp_path: Path, job: Conversion
) -> None:
    sink = opened(name, tmp_path, job)
    if name != "-":
        with pytest.raises(VideoError, match="is being worked on by another process"):
            opened(name, tmp_path, job)
    sink.abort()


def test_a_result_that_exists_is_replaced_only_on_request(
    name: str, tmp_path: Path, job: Conversion
) -> None:
    if name == "-":
        target_of(name, tmp_path).check(job.source.path, overwrite=False)
        return
    result = result_of(name, tmp_path)
    if name.startswith("out/") or not result.suffix:
        result.mkdir()
        result = result / ("001.png" if "/" in name else "000001.png")
    result.write_bytes(b"")
    target = target_of(name, tmp_path)
    with pytest.raises(VideoError, match=r"exists.*give --overwrite"):
        target.check(job.source.path, overwrite=False)
    target.check(job.source.path, overwrite=True)


def test_the_properties_of_a_target_are_defined_before_the_work(name: str, tmp_path: Path) -> None:
    target = target_of(name, tmp_path)
    stated = {
        target.stores_display_matrix,
        target.stores_aspect_ratio,
        target.constant_rate_only,
        target.starts_at_zero,
    }
    assert stated <= {True, False}
    assert target.path.name in (name.rpartition("/")[2], name)
    assert not target.is_complete({}, overwrite=False)


def test_a_comparison_shows_the_same_frames_as_a_result(
    render_video: Render, tmp_path: Path
) -> None:
    """At a cut, in a gap and next to them, the right side is the frame of `midframe video`."""
    steps = [0, 1, 2, 3, 60, 61, 62]
    source = render_video("in.mkv", frames=len(steps), rate=Fraction(50), cut_at=2, pts=steps,
                          pixel_format="yuv444p", sound=False)  # fmt: skip
    options: dict[str, Any] = {"factor": 3, "codec": "ffv1", "model": Averager()}
    assert compare_video(source, tmp_path / "c.mkv", slower=2, **options) == len(steps)
    report = interpolate_video(source, tmp_path / "v.mkv", slow=2, vfr=True, **options)
    assert (report.cuts, report.gaps) == (1, 1)
    sheets, frames = frames_of(tmp_path / "c.mkv"), frames_of(tmp_path / "v.mkv")
    assert [each.pts for each in sheets] == [each.pts for each in frames]
    for sheet, frame in zip(sheets, frames, strict=True):
        right = planes(sheet)[0][16:80, 96 + GAP :]
        assert abs(right - planes(frame)[0]).max() <= 3
