import os
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.video import Averager

from midframe.batch import run as batch_run
from midframe.batch.dry_run import estimate_videos
from midframe.batch.run import Batch, BatchVideoResult, watch
from midframe.batch.videos import BatchVideo, find_videos
from midframe.errors import VideoError
from midframe.options import EncodingOptions, RetimingOptions, VideoOptions
from midframe.video.report import VideoReport

OPTIONS = VideoOptions()


@pytest.fixture
def folder(render_video: Callable[..., Path], tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    render_video("in/a.mp4", frames=4)
    render_video("in/sub/b.mp4", frames=5, sound=False)
    (tmp_path / "in" / "bad.mp4").write_text("no video")
    return tmp_path / "in"


def find_all(folder: Path) -> list[BatchVideo]:
    return find_videos(folder, folder.parent / "out", lambda source: ".mp4")


def statuses(batch: Batch, folder: Path) -> dict[str, str]:
    return {result.video.name: result.status for result in batch.run(find_all(folder))}


def test_a_failed_video_does_not_stop_the_batch_and_finished_ones_are_skipped(folder: Path) -> None:
    out = folder.parent / "out"
    batch = Batch(out, Averager(), OPTIONS)
    first = {"a.mp4": "done", "bad.mp4": "failed", "sub/b.mp4": "done"}
    assert statuses(batch, folder) == first
    assert (out / "sub" / "b.mp4").is_file()
    second = {"a.mp4": "already done", "bad.mp4": "failed", "sub/b.mp4": "already done"}
    assert statuses(batch, folder) == second


def test_an_existing_file_without_a_matching_record_is_not_taken_as_finished(folder: Path) -> None:
    out = folder.parent / "out"
    batch = Batch(out, Averager(), OPTIONS)
    statuses(batch, folder)
    (out / "a.mp4").write_bytes(b"cut short")
    results = {result.video.name: result for result in batch.run(find_all(folder))}
    assert results["a.mp4"].status == "failed"  # it could be a file of the user
    assert "--overwrite" in results["a.mp4"].message
    (out / "a.mp4").unlink()
    assert statuses(batch, folder)["a.mp4"] == "done"


def test_a_changed_source_of_the_same_name_is_rendered_again(
    folder: Path, render_video: Callable[..., Path]
) -> None:
    batch = Batch(folder.parent / "out", Averager(), OPTIONS, overwrite=True)
    statuses(batch, folder)
    render_video("in/a.mp4", frames=7)
    assert statuses(batch, folder)["a.mp4"] == "done"
    assert statuses(batch, folder)["a.mp4"] == "already done"


def test_other_options_replace_results_only_with_overwrite(folder: Path) -> None:
    out = folder.parent / "out"
    statuses(Batch(out, Averager(), OPTIONS), folder)
    other = replace(OPTIONS, retiming=RetimingOptions(factor=3))
    assert statuses(Batch(out, Averager(), other), folder)["a.mp4"] == "failed"
    assert statuses(Batch(out, Averager(), other, overwrite=True), folder)["a.mp4"] == "done"
    assert statuses(Batch(out, Averager(), other), folder)["a.mp4"] == "already done"


def test_a_result_without_a_record_is_recognised_by_its_mark(folder: Path) -> None:
    out = folder.parent / "out"
    batch = Batch(out, Averager(), OPTIONS)
    statuses(batch, folder)
    (out / ".midframe" / "a.mp4.json").unlink()
    assert statuses(batch, folder)["a.mp4"] == "already done"


def test_two_concurrent_batches_do_not_render_a_video_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bad.mp4").unlink()
    started, proceed = threading.Event(), threading.Event()
    converted: list[str] = []
    convert = batch_run.convert_video

    def convert_slowly(
        source: Path, target: Path, *options: object, **keywords: object
    ) -> VideoReport:
        converted.append(source.name)
        started.set()
        assert proceed.wait(60)
        return convert(source, target, *options, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(batch_run, "convert_video", convert_slowly)
    out = folder.parent / "out"
    first, second = Batch(out, Averager(), OPTIONS), Batch(out, Averager(), OPTIONS)
    thread = threading.Thread(target=lambda: statuses(first, folder))
    thread.start()
    assert started.wait(60)
    video_a, video_b = find_all(folder)
    assert second.run_video(video_a).status == "busy"
    proceed.set()
    thread.join(60)
    assert second.run_video(video_b).status == "already done"
    assert sorted(converted) == ["a.mp4", "b.mp4"]


def test_a_busy_video_is_retried_after_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(folder.parent / "out", Averager(), OPTIONS)
    video_a, _, video_b = find_all(folder)
    tried: list[str] = []

    def busy_at_first(video: BatchVideo, progress: object = None) -> BatchVideoResult:
        tried.append(video.name)
        return BatchVideoResult(video, "busy" if len(tried) == 1 else "done")

    monkeypatch.setattr(batch, "run_video", busy_at_first)
    assert [result.status for result in batch.run([video_a, video_b])] == ["done", "done"]
    assert tried == ["a.mp4", "sub/b.mp4", "a.mp4"]


def test_a_damaged_video_is_rendered_and_reported(
    folder: Path, render_video: Callable[..., Path]
) -> None:
    path = render_video("in/sub/b.mp4", frames=40, sound=False)
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    batch = Batch(folder.parent / "out", Averager(), OPTIONS)
    results = {result.video.name: result for result in batch.run(find_all(folder))}
    assert results["sub/b.mp4"].status == "damaged"
    assert results["sub/b.mp4"].message
    assert (folder.parent / "out" / "sub" / "b.mp4").is_file()


def test_an_estimate_counts_frames_and_writes_nothing(folder: Path) -> None:
    batch = Batch(folder.parent / "out", Averager(), OPTIONS)
    estimates = {each.video.name: each for each in estimate_videos(batch, find_all(folder))}
    assert not (folder.parent / "out").exists()
    first = estimates["a.mp4"]
    assert (first.width, first.height, first.frames, first.interpolated) == (96, 64, 8, 3)
    assert first.seconds > 0
    assert first.disk_bytes == 2 * (folder / "a.mp4").stat().st_size
    assert "cannot be opened" in estimates["bad.mp4"].error
    statuses(batch, folder)
    again = {each.video.name: each for each in estimate_videos(batch, find_all(folder))}
    assert (again["a.mp4"].done, again["a.mp4"].frames) == (True, 0)
    other = Batch(folder.parent / "out", Averager(), replace(OPTIONS, retiming=RetimingOptions(3)))
    changed = {each.video.name: each for each in estimate_videos(other, find_all(folder))}
    assert "exists and was made with other options" in changed["a.mp4"].error


def test_an_estimate_reports_results_that_cannot_be_encoded(
    tmp_path: Path, render_video: Callable[..., Path]
) -> None:
    path = render_video("a.gif", codec="gif", pixel_format="rgb8", rate=Fraction(50), sound=False)
    video = BatchVideo(path, tmp_path / "out" / "a.gif", "a.gif")
    for options, reason in (
        (OPTIONS, "viewers play GIFs of 100 frames per second too slowly"),
        (replace(OPTIONS, encoding=EncodingOptions(codec="hevc")), "does not use --codec"),
    ):
        batch = Batch(tmp_path / "out", Averager(), options)
        assert reason in next(estimate_videos(batch, [video])).error
        assert reason in batch.run_video(video).message


def test_an_option_that_fits_no_video_fails_each(folder: Path) -> None:
    options = replace(OPTIONS, encoding=EncodingOptions(codec="vp10"))
    batch = Batch(folder.parent / "out", Averager(), options)
    assert set(statuses(batch, folder).values()) == {"failed"}


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(VideoError, match="is a file"):
        Batch(tmp_path / "out", Averager(), OPTIONS)


def test_watch_yields_a_video_once_it_is_no_longer_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    video = BatchVideo(path, tmp_path / "out.mp4", "out.mp4")
    sizes: list[int] = []

    def find(final: int) -> list[BatchVideo]:
        size = min(final, len(sizes) + 1)
        path.write_bytes(bytes(size))
        os.utime(path, (size, size))
        sizes.append(size)
        return [video]

    assert next(watch(lambda: find(3), settle=0.05, poll=0.01)) == video
    assert sizes[:3] == [1, 2, 3]
    assert len(sizes) > 3


def test_watch_yields_a_video_again_after_it_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    video = BatchVideo(path, tmp_path / "out.mp4", "out.mp4")
    path.write_bytes(b"1")
    videos = watch(lambda: [video], settle=0.0, poll=0.01)
    assert next(videos) == video
    path.write_bytes(b"22")
    assert next(videos) == video


def test_watch_waits_for_a_missing_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    video = BatchVideo(path, tmp_path / "out.mp4", "out.mp4")
    results = iter([VideoError("in is not a folder")] * 3 + [[video]] * 3)

    def find() -> list[BatchVideo]:
        result = next(results)
        if isinstance(result, VideoError):
            raise result
        return result

    assert next(watch(find, settle=0.0, poll=0.01)) == video
    assert caplog.text.count("in is not a folder; still waiting") == 1
