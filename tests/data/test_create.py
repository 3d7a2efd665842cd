"""Creating a dataset from a folder of videos."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.datasets import noise

from midframe.data.aliases import CONFIG_FIELDS, FOLDERS, split_folder
from midframe.data.create import create_dataset, find_videos, make_key, write_report
from midframe.data.create_config import CreateConfig
from midframe.data.shards import Shards
from midframe.data.show import draw_motion, make_contact_sheet, read_report
from midframe.data.triplets import (
    Selection,
)
from midframe.errors import DatasetError

SMALL = CreateConfig(
    selection=Selection(size=48),
    per_clip=20,
    strides=(1, 2),
    scales=(1.0,),
    validation_sequences=2,
    validation_fraction=0.3,
)


@pytest.fixture
def clips(render_video: Callable[..., Path], tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for index in range(3):
        clip = render_video(
            f"clip{index}.mp4",
            frames=16,
            size=(96, 128),
            sound=False,
            cut_at=8 if index == 1 else None,
        )
        clip.rename(folder / clip.name)
    (folder / "broken.mp4").write_text("no video")
    return folder


def contents(dataset: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.is_file()
    }


def test_a_dataset_is_created_resumed_and_shown(clips: Path, tmp_path: Path) -> None:
    dataset, events = tmp_path / "set", []
    report = create_dataset(
        clips, dataset, SMALL, workers=1, progress=lambda *state: events.append(state)
    )
    assert sorted(done for done, _, _ in events) == [1, 2, 3, 4]
    assert report["samples"]["train"] > 10
    assert report["samples"]["validation"] > 5
    splits = {file["file"]: file["split"] for file in report["files"]}
    assert sorted(splits.values()) == ["train", "train", "validation", "validation"]
    assert next(file["error"] for file in report["files"] if file["file"] == "broken.mp4")
    shards = Shards(list((dataset / "train").glob("*.tar")))
    assert len(shards) == report["samples"]["train"]
    assert shards.read_frames(0).shape == (3, 48, 48, 3)
    assert shards.read_metadata(0)["file"] in splits

    expected = contents(dataset)
    next((dataset / "files").glob("clip0*")).write_text("")  # a power cut
    next((dataset / "files").glob("clip1*")).unlink()
    events.clear()
    create_dataset(clips, dataset, SMALL, workers=1, progress=lambda *state: events.append(state))
    names = [name for _, _, name in events]
    assert sorted(names) == ["broken.mp4", "clip0.mp4", "clip1.mp4"], "failed ones too"
    assert contents(dataset) == expected, (
        "a resumed dataset equals one created without interruption"
    )

    assert read_report(dataset) == report
    assert draw_motion(dataset, report).stat().st_size > 1000
    assert cv2.imread(str(make_contact_sheet(dataset))).shape[1] > 100


def test_files_that_failed_changed_or_belong_to_another_split_are_read_again(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, read = tmp_path / "set", list[str]()

    def create(**options: Any) -> dict[str, dict[str, Any]]:
        read.clear()
        report = create_dataset(
            clips, dataset, SMALL, workers=1, progress=lambda *done: read.append(done[2]), **options
        )
        return {file["file"]: file for file in report["files"]}

    before = create()
    assert [name for name, file in before.items() if file["failed"]] == ["broken.mp4"]
    shutil.copy(clips / "clip0.mp4", clips / "broken.mp4")
    after = create()
    assert read == ["broken.mp4"]
    assert after["broken.mp4"]["samples"]
    shutil.copy(clips / "clip1.mp4", clips / "clip0.mp4")
    create()
    assert read == ["clip0.mp4"], "another clip of the same name"

    split = after["clip2.mp4"]["split"]
    other = "train" if split == "validation" else "validation"
    sources = tmp_path / "sources.csv"
    sharer = next(name for name, file in after.items() if file["split"] == other)
    sources.write_text(
        f"file,licence,attribution,source\nclip2.mp4,CC0,me,one\n{sharer},CC0,me,one\n"
    )
    last = create(sources=[sources])
    assert last["clip2.mp4"]["split"] == last[sharer]["split"]
    assert last["clip2.mp4"]["licence"] == "CC0"
    shards = [path.parent.name for path in dataset.glob("*/clip2-*.tar")]
    assert sorted(set(shards) & {"train", "validation"}) == [last["clip2.mp4"]["split"]]
    assert create(sources=[sources]) == last
    assert read == []

    (clips / "clip1.mp4").unlink()
    assert "clip1.mp4" in create(sources=[sources])
    assert "also has samples of 1 files that were not found: clip1-" in caplog.text


def test_resuming_with_other_settings_is_refused(clips: Path, tmp_path: Path) -> None:
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    with pytest.raises(DatasetError, match="other settings"):
        create_dataset(clips, tmp_path / "set", CreateConfig(seed=1), workers=1)


def use_old_names(dataset: Path) -> None:
    """Rename folders, settings and metadata to the names of older versions."""
    for old, new in FOLDERS.items():
        (dataset / new).rename(dataset / old)
    old_names = {new: old for old, new in CONFIG_FIELDS.items()}
    settings = json.loads((dataset / "dataset.json").read_text())
    for table in (settings, settings["synthetic_motion"]):
        for new in old_names.keys() & table.keys():
            table[old_names[new]] = table.pop(new)
    (dataset / "dataset.json").write_text(json.dumps(settings))
    for path in [*(dataset / "files").iterdir(), dataset / "report.json"]:
        text = path.read_text().replace('"split":', '"part":')
        path.write_text(text.replace('"synthetic"', '"made"'))


def test_a_dataset_with_the_old_names_is_read_and_resumed(clips: Path, tmp_path: Path) -> None:
    config = replace(SMALL, per_photograph=3)
    dataset = tmp_path / "set"
    report = create_dataset(clips, dataset, config, drawings=1, workers=1)
    use_old_names(dataset)
    assert json.loads((dataset / "dataset.json").read_text())["still_motion"]["max_bend"] == 3.0
    assert read_report(dataset) == report
    assert split_folder(dataset, "synthetic") == dataset / "made"
    assert split_folder(dataset, "train") == dataset / "train"
    drawing = next((dataset / "made").glob("*.tar"))
    drawing.unlink()
    next((dataset / "files").glob("drawings*")).unlink()
    assert create_dataset(clips, dataset, config, drawings=1, workers=1) == report
    assert drawing.exists()
    assert not (dataset / "synthetic").exists()


def test_no_sample_crosses_a_cut(clips: Path, tmp_path: Path) -> None:
    for name in ("clip0.mp4", "clip2.mp4", "broken.mp4"):
        (clips / name).unlink()
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    for metadata in map(shards.read_metadata, range(len(shards))):
        assert metadata["frame"] >= 8 or metadata["frame"] + 2 * metadata["stride"] < 8


def test_a_dataset_without_validation_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "files").mkdir()
    for number, split in enumerate(("train", "validation")):
        file = {"file": "a.mp4", "split": split, "samples": 1, "motion": [1.0]}
        (tmp_path / "files" / f"{number}.json").write_text(json.dumps(file))
        write_report(tmp_path)
        assert caplog.text.count("has no samples for validation") == 1


def test_folders_without_videos_raise_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="contains no videos"):
        find_videos(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        find_videos(tmp_path / "nowhere")
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(DatasetError, match="no samples were extracted"):
        create_dataset(tmp_path, tmp_path / "set", SMALL, workers=1)


def test_photographs_are_rendered_to_synthetic_samples(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), noise(400, 400))
    (folder / "b.jpg").write_text("no image")
    config = replace(SMALL, per_photograph=5)
    report = create_dataset(clips, tmp_path / "set", config, photographs=folder, workers=1)
    files = {file["file"]: file for file in report["files"]}
    assert 0 < files["a.png"]["samples"] <= 5
    assert (files["b.jpg"]["samples"], files["b.jpg"]["error"]) == (0, "cannot be read")
    assert (
        len(Shards(list((tmp_path / "set" / "synthetic").glob("a-*.tar"))))
        == files["a.png"]["samples"]
    )
    with pytest.raises(DatasetError, match="contains no photographs"):
        create_dataset(clips, tmp_path / "set", config, photographs=clips, workers=1)


def test_drawings_are_rendered_to_synthetic_samples(clips: Path, tmp_path: Path) -> None:
    config = replace(SMALL, per_photograph=4)
    report = create_dataset(clips, tmp_path / "set", config, drawings=2, workers=1)
    drawn = [file for file in report["files"] if file["file"].startswith("drawings")]
    assert [file["split"] for file in drawn] == ["synthetic", "synthetic"]
    assert 0 < sum(file["samples"] for file in drawn) == report["samples"]["synthetic"]
    shards = [
        Shards([path]).read_frames(0)
        for path in (tmp_path / "set" / "synthetic").glob("drawings*.tar")
    ]
    assert not any(np.array_equal(one, other) for one, other in itertools.pairwise(shards))


def test_clips_with_equal_names_in_two_folders_are_distinguished(
    clips: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (clips / folder).mkdir()
        (clips / "clip0.mp4").rename(clips / folder / "same.mp4")
        (clips / "clip2.mp4").replace(clips / "clip0.mp4") if folder == "a" else None
    report = create_dataset(
        clips, tmp_path / "set", replace(SMALL, validation_fraction=0.0), workers=1
    )
    samples = {file["file"]: file["samples"] for file in report["files"]}
    assert samples["a/same.mp4"] > 0
    assert samples["b/same.mp4"] > 0
    assert make_key("a/same.mp4") != make_key("b/same.mp4")


def test_a_clip_that_is_too_small_is_reported_and_one_with_a_long_name_is_kept(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "clips").mkdir()
    names = ("small.mp4", "ü" * 120 + ".mp4")  # 244 bytes
    for name, size in zip(names, ((32, 64), (96, 128)), strict=True):
        render_video(frames=16, size=size, sound=False).rename(tmp_path / "clips" / name)
    report = create_dataset(tmp_path / "clips", tmp_path / "set", SMALL, workers=1)
    files = {file["file"]: file for file in report["files"]}
    assert files[names[0]]["error"] == "64x32 pixels: smaller than a sample (48)"
    assert files[names[1]]["samples"] > 0


def test_licences_are_stored_in_shards_and_attribution(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = tmp_path / "sources.csv"
    rows = [f"clip{index}.mp4,CC0,somebody" for index in range(2)] + [
        "clip2.mp4,MIT,nobody",
        "other.mp4,MIT,nobody",
    ]
    listed.write_text("\n".join(["file,licence,attribution", *rows]))
    report = create_dataset(clips, tmp_path / "set", SMALL, sources=[listed], workers=1)
    splits = {file["file"]: file["split"] for file in report["files"]}
    assert splits["clip0.mp4"] == splits["clip1.mp4"]
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    licences = {
        (metadata["file"], metadata["licence"])
        for metadata in map(shards.read_metadata, range(len(shards)))
    }
    assert licences <= {("clip0.mp4", "CC0"), ("clip1.mp4", "CC0"), ("clip2.mp4", "MIT")}
    table = (tmp_path / "set" / "attribution.csv").read_text()
    assert "clip2.mp4" in table
    assert "MIT,nobody" in table
    assert "no such file for 1 rows: other.mp4" in caplog.text
    assert "broken.mp4" not in table
    listed.write_text("file,license\na,b")
    with pytest.raises(DatasetError, match="lacks the columns attribution, licence"):
        create_dataset(clips, tmp_path / "other", SMALL, sources=[listed], workers=1)


def test_clips_with_fast_motion_are_downscaled(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    selection = Selection(size=48, max_motion=6.0)
    config = replace(
        SMALL, selection=selection, strides=(2,), scales=(1.0, 0.5), validation_fraction=0.0
    )
    clip = render_video("clip.mp4", frames=16, size=(120, 200), sound=False)
    create_dataset(clip, tmp_path / "set", config, workers=1)
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    samples = [shards.read_metadata(index) for index in range(len(shards))]
    assert {metadata["scale"] for metadata in samples} == {0.5}
    assert all(3 < metadata["motion"] <= 6 for metadata in samples)


def test_processes_of_a_pool_end_if_their_parent_is_killed(tmp_path: Path) -> None:
    text = """
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from midframe.data.create import end_with_parent
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent)
    pool.submit(os.getpid).result()
    os.kill(os.getpid(), 9)
"""
    script = tmp_path / "main.py"
    script.write_text(text)
    # the pipe of the output is closed when the last process that has it has ended
    subprocess.run([sys.executable, script], stdout=subprocess.PIPE, timeout=60, check=False)


def test_a_process_that_is_killed_ends_with_one_error(clips: Path, tmp_path: Path) -> None:
    class Killed(Executor):
        def submit(self, *_: Any) -> Future:  # type: ignore[override]
            future: Future = Future()
            future.set_exception(BrokenProcessPool("a process was terminated abruptly"))
            return future

    with pytest.raises(DatasetError, match="killed, as for lack of memory: run the same command"):
        create_dataset(clips, tmp_path / "set", SMALL, executor=Killed())


def test_a_full_disk_raises_one_error_and_the_command_can_be_repeated(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in place of the shard's temporary file simulates the full disk."""
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    expected = contents(tmp_path / "set")
    for path in (tmp_path / "set").rglob("clip1*"):
        path.unlink()
    split = "train" if any(name.startswith("train/clip1") for name in expected) else "validation"
    (tmp_path / "set" / split / f"{make_key('clip1.mp4')}.tar.part").mkdir()
    with pytest.raises(
        DatasetError, match=r"cannot be written .*: free disk space and run the same command again"
    ):
        create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    (tmp_path / "set" / split / f"{make_key('clip1.mp4')}.tar.part").rmdir()
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    assert contents(tmp_path / "set") == expected


def test_random_patches_may_be_static_or_flat(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    clip = render_video("clip.mp4", frames=16, size=(96, 128), sound=False, cut_at=8)
    config = replace(
        SMALL,
        random_patches=5,
        validation_fraction=0.0,
        selection=replace(SMALL.selection, min_motion=1000.0),
    )
    report = create_dataset(clip, tmp_path / "set", config, workers=1)
    assert report["samples"]["train"] == 5
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    for metadata in map(shards.read_metadata, range(len(shards))):
        assert metadata["random"]
        assert metadata["frame"] >= 8 or metadata["frame"] + 2 * metadata["stride"] < 8
