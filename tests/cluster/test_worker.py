"""A worker without a cluster."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.cuts import render_scenes
from helpers.video import Averager

pytest.importorskip("fsspec")

from midframe.cluster.storage import Storage
from midframe.cluster.worker import PieceJob, Worker, finished_segments, segment_name
from midframe.errors import VideoError
from midframe.media.reading.sources import identity_of
from midframe.options import EncodingOptions, InterpolationOptions, VideoOptions
from midframe.video.pieces import Piece, encoder_state
from midframe.video.render_job import open_render_job, result_settings
from midframe.video.sinks.video_file import VideoFileTarget


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr("midframe.cluster.worker.limit_threads", lambda _: None)
    worker = Worker(InterpolationOptions(), 1)
    worker.__dict__["interpolator"] = Averager()
    return worker


@pytest.fixture
def job(tmp_path: Path) -> PieceJob:
    """A job of the three segments of a video; the store is an empty folder."""
    source = render_scenes(tmp_path / "in.mp4", scenes=3, size=(32, 48), sound=False)
    target = VideoFileTarget(tmp_path / "out.mkv", EncodingOptions("ffv1"))
    options = VideoOptions(encoding=target.options)
    settings = result_settings(identity_of(source), Averager(), options)
    with open_render_job(source, target, Averager(), options, settings) as work:
        state = encoder_state(target.choose_encoding(work.conversion))
    store = tmp_path / "store"
    store.mkdir()
    piece = Piece(range(3), state, settings)
    return PieceJob(str(source), "out.mkv", options, piece, str(store))


def test_a_piece_is_rendered_from_its_first_missing_segment(worker: Worker, job: PieceJob) -> None:
    store = Path(job.store)
    (store / segment_name(0)).write_text("of a lost worker")
    worker.render(job)
    assert finished_segments(Storage(job.store)) == {0, 1, 2}
    assert (store / segment_name(0)).read_text() == "of a lost worker"
    assert sorted(path.name for path in store.iterdir()) == [segment_name(n) for n in range(3)]
    modified = [path.stat().st_mtime_ns for path in sorted(store.iterdir())]
    worker.render(job)
    assert [path.stat().st_mtime_ns for path in sorted(store.iterdir())] == modified
    assert not any(worker.scratch.folder.glob("*.segment"))
    worker.scratch.close()


def test_a_folder_that_is_not_shared_is_reported(
    worker: Worker, job: PieceJob, tmp_path: Path
) -> None:
    for wrong in (
        replace(job, store=str(tmp_path / "elsewhere")),
        replace(job, source=str(tmp_path / "elsewhere.mp4")),
    ):
        with pytest.raises(VideoError, match=r"elsewhere.* does not exist on this machine"):
            worker.render(wrong)
    worker.scratch.close()
