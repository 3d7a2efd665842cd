import itertools
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from midframe.data import drawings
from midframe.data.aliases import CONFIG_FIELDS, FOLDERS, split_folder
from midframe.data.augment import augment, estimate_flow_labels
from midframe.data.create import choose_held_out, create_dataset, find_videos, make_key
from midframe.data.drawings import render_drawing
from midframe.data.extract import CreateConfig, Patch, Reservoir
from midframe.data.photographs import SyntheticMotion, render_moving_patch
from midframe.data.shards import Shards, ShardWriter
from midframe.data.show import draw_motion, make_contact_sheet, read_report
from midframe.data.triplets import (
    Selection,
    choose_random_place,
    find_candidates,
    optical_flow,
    warp_error,
)
from midframe.errors import DatasetError

Image = np.ndarray[Any, Any]
SMALL = CreateConfig(
    selection=Selection(size=48),
    per_clip=20,
    strides=(1, 2),
    scales=(1.0,),
    validation_sequences=2,
    validation_fraction=0.3,
)


def noise(height: int = 160, width: int = 220) -> Image:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def moving(step: int, count: int = 3, size: int = 120) -> list[Image]:
    whole = noise()
    return [
        whole[10 : 10 + size, 20 + step * index : 20 + step * index + size]
        for index in range(count)
    ]


def test_textured_motion_is_selected_and_measured() -> None:
    found = find_candidates(moving(3), Selection(size=64))
    assert found
    assert all(abs(candidate.motion - 6) < 2 for candidate in found)


@pytest.mark.parametrize(
    "frames",
    [
        [noise()] * 3,
        moving(30),
        [np.full((120, 120, 3), 90 + 2 * index, np.uint8) for index in range(3)],
        [*moving(3, 2), 255 - moving(3)[2]],
        [frame[:40, :40] for frame in moving(3)],
    ],
    ids=["repeated", "too fast", "flat", "cut", "too small"],
)
def test_unsuitable_sequences_are_dropped(frames: list[Image]) -> None:
    assert find_candidates(frames, Selection(size=64)) == []


def test_flow_finds_a_shift() -> None:
    first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in moving(5, 2))
    flow = optical_flow(first, second)
    assert abs(np.median(flow[..., 0]) + 5) < 0.5
    assert abs(np.median(flow[..., 1])) < 0.5
    assert np.median(warp_error(first, second, flow)) < 2


@pytest.fixture
def clips(render_video: Callable[..., Path], tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for index in range(3):
        made = render_video(
            f"clip{index}.mp4",
            frames=16,
            size=(96, 128),
            sound=False,
            cut_at=8 if index == 1 else None,
        )
        made.rename(folder / made.name)
    (folder / "broken.mp4").write_text("no video")
    return folder


def contents(dataset: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.is_file()
    }


def test_a_dataset_is_created_resumed_and_shown(clips: Path, tmp_path: Path) -> None:
    dataset, told = tmp_path / "set", []
    report = create_dataset(
        clips, dataset, SMALL, workers=1, progress=lambda *state: told.append(state)
    )
    assert sorted(done for done, _, _ in told) == [1, 2, 3, 4]
    assert report["samples"]["train"] > 10
    assert report["samples"]["validation"] > 5
    splits = {file["file"]: file["split"] for file in report["files"]}
    assert sorted(splits.values()) == ["train", "train", "validation", "validation"]
    assert next(file["error"] for file in report["files"] if file["file"] == "broken.mp4")
    shards = Shards(list((dataset / "train").glob("*.tar")))
    assert len(shards) == report["samples"]["train"]
    assert shards.read_frames(0).shape == (3, 48, 48, 3)
    assert shards.read_metadata(0)["file"] in splits

    whole = contents(dataset)
    next((dataset / "files").glob("clip1*")).unlink()
    told.clear()
    create_dataset(clips, dataset, SMALL, workers=1, progress=lambda *state: told.append(state))
    assert [name for _, _, name in told] == ["clip1.mp4"]
    assert contents(dataset) == whole, "a resumed data set equals one made in one go"

    assert read_report(dataset) == report
    assert draw_motion(dataset, report).stat().st_size > 1000
    assert cv2.imread(str(make_contact_sheet(dataset))).shape[1] > 100


def test_other_settings_are_refused(clips: Path, tmp_path: Path) -> None:
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    with pytest.raises(DatasetError, match="other settings"):
        create_dataset(clips, tmp_path / "set", CreateConfig(seed=1), workers=1)


def use_old_names(dataset: Path) -> None:
    """Rename folders, settings and metadata to what older versions wrote."""
    for old, present in FOLDERS.items():
        (dataset / present).rename(dataset / old)
    old_names = {present: old for old, present in CONFIG_FIELDS.items()}
    settings = json.loads((dataset / "dataset.json").read_text())
    for table in (settings, settings["synthetic_motion"]):
        for present in old_names.keys() & table.keys():
            table[old_names[present]] = table.pop(present)
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


def test_folders_without_videos_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="contains no videos"):
        find_videos(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        find_videos(tmp_path / "nowhere")
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(DatasetError, match="no samples were extracted"):
        create_dataset(tmp_path, tmp_path / "set", SMALL, workers=1)


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"frames": 4}, {"frames": 1}, {"strides": (0,)}):
        with pytest.raises(
            ValueError, match=str(next(iter(wrong.values()))).strip("()").split(",")[0]
        ):
            CreateConfig(**wrong)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "a.tar") as writer:
        for index in range(4):
            writer.write(f"clip-{index}", np.stack(moving(index + 1)), {"index": index})
    return tmp_path / "a.tar"


def test_samples_come_back_from_shards(shard: Path) -> None:
    shards = Shards([shard])
    for index in (2, 0, 3, 1):
        assert shards.read_metadata(index) == {"index": index}
        error = abs(shards.read_frames(index).astype(int) - np.stack(moving(index + 1)))
        assert error.mean() < 2


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # webdataset leaves the file open
def test_shards_are_webdataset_shards(shard: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"clip-{index}" for index in range(4)]
    assert np.array_equal(samples[1]["2.jpg"], Shards([shard]).read_frames(1)[2])
    assert samples[1]["json"] == {"index": 1}


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test_a_truncated_shard_is_an_error(shard: Path, kept: float) -> None:
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        end = max(member.offset_data + member.size for member in tar)
    shard.write_bytes(content[: int(end * kept)])
    with pytest.raises(DatasetError, match=r"a\.tar is not a complete shard"):
        Shards([shard])


def test_a_shard_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ShardWriter(tmp_path / "a.tar") as writer:
            writer.write("a", np.stack(moving(1)), {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_same_random_state_gives_the_same_crop() -> None:
    frames = np.stack(moving(2))
    crops = [augment(frames, np.random.default_rng(5), 64, 8) for _ in range(2)]
    assert np.array_equal(*crops)
    assert crops[0].shape == (3, 64, 64, 3)
    assert not np.array_equal(crops[0], augment(frames, np.random.default_rng(6), 64, 8))


def test_opposite_shifts_leave_the_middle_frame_between_the_others() -> None:
    still = np.stack([noise()[:120, :120]] * 3)
    seen = set()
    for seed in range(40):
        crop = augment(still, np.random.default_rng(seed), 64, 8)
        guide = estimate_flow_labels(crop)
        there, back = (np.median(guide.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(there, -back, atol=0.6), seed
        seen.add(tuple(np.rint(there).astype(int)))
    assert len(seen) > 8
    assert (0, 0) in seen


@pytest.mark.parametrize("time", [Fraction(1, 4), Fraction(2, 3), Fraction(1, 6)])
def test_shifts_keep_to_the_time_of_the_frame_between(time: Fraction) -> None:
    still = np.stack([noise()[:120, :120]] * 3)
    seen = set()
    for seed in range(30):
        guide = estimate_flow_labels(augment(still, np.random.default_rng(seed), 80, 3, time=time))
        there, back = (np.median(guide.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(there * float(1 - time), -back * float(time), atol=0.5), seed
        seen.add(tuple(np.rint(there - back).astype(int)))
    assert len(seen) > 4


def test_every_flip_and_turn_occurs() -> None:
    frames = np.stack([np.full((32, 32, 3), 20 * index, np.uint8) for index in range(3)])
    frames[:, :16, :16] += 100
    crops = {augment(frames, np.random.default_rng(seed), 32, 0).tobytes() for seed in range(200)}
    assert len(crops) == 4  # a bright corner in four places


def test_flow_labels_have_high_confidence_where_they_explain_the_frame() -> None:
    frames = np.stack(moving(4))
    good = estimate_flow_labels(frames)
    frames[2] = 255 - frames[2]
    bad = estimate_flow_labels(frames)
    assert good.confidence.mean() > 0.8
    assert bad.confidence[1].mean() < 0.3
    assert json.dumps(good.flows.shape) == "[2, 2, 120, 120]"


def test_photographs_move_symmetrically_about_the_middle_frame() -> None:
    still = noise(480, 480)
    for seed in range(6):
        made = render_moving_patch(
            still,
            np.random.default_rng(seed),
            128,
            3,
            SyntheticMotion(5.0, 1.0, foreground_probability=0.0),
        )
        assert made is not None
        assert made.shape == (3, 128, 128, 3)
        guide = estimate_flow_labels(made)
        there, back = (np.median(guide.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(there, -back, atol=0.7)
        assert guide.confidence.mean() > 0.8


def test_the_middle_of_moved_photographs_is_untouched() -> None:
    still = noise(480, 480)
    sharp = render_moving_patch(
        still,
        np.random.default_rng(3),
        96,
        3,
        SyntheticMotion(foreground_probability=0.0, max_shift=0, max_distortion=0),
    )
    assert sharp is not None
    assert np.array_equal(sharp[0], sharp[1])
    assert (
        render_moving_patch(still[:100], np.random.default_rng(3), 96, 3, SyntheticMotion()) is None
    )


def test_photographs_join_the_training_part(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), noise(400, 400))
    (folder / "b.jpg").write_text("no picture")
    config = replace(SMALL, per_photograph=5)
    report = create_dataset(clips, tmp_path / "set", config, photographs=folder, workers=1)
    found = {file["file"]: file for file in report["files"]}
    assert 0 < found["a.png"]["samples"] <= 5
    assert (found["b.jpg"]["samples"], found["b.jpg"]["error"]) == (0, "cannot be read")
    assert (
        len(Shards(list((tmp_path / "set" / "synthetic").glob("a-*.tar"))))
        == found["a.png"]["samples"]
    )
    with pytest.raises(DatasetError, match="contains no photographs"):
        create_dataset(clips, tmp_path / "set", config, photographs=clips, workers=1)


def test_drawings_are_static_without_motion_and_move_with_it() -> None:
    still, moved = (
        render_drawing(np.random.default_rng(4), 96, 5, motion)
        for motion in (SyntheticMotion(max_shift=0, max_distortion=0), SyntheticMotion())
    )
    assert still.shape == moved.shape == (5, 96, 96, 3)
    assert (still == still[2]).all()
    assert np.array_equal(moved[2], still[2])
    steps = abs(np.diff(moved.astype(float), axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 1


def test_layers_of_drawings_have_no_fringes(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = (120, 130, 140, 255)
    monkeypatch.setattr(drawings, "_choose_palette", lambda rng: [grey] * 3)
    for seed in range(5):
        sequence = render_drawing(np.random.default_rng(seed), 96, 3, SyntheticMotion())
        assert abs(sequence.astype(int) - grey[:3]).max() <= 4


def test_drawings_join_the_training_part(clips: Path, tmp_path: Path) -> None:
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


def kept(key: float, step: int) -> Patch:
    return Patch(key, np.stack(moving(step)), {})


def test_patches_that_are_alike_are_kept_once() -> None:
    reservoir = Reservoir(3, min_novelty=2.0)
    for key, step in ((1.0, 1), (5.0, 3), (3.0, 1), (2.0, 1), (4.0, 2)):
        reservoir.offer(kept(key, step))
    assert sorted(each.key for each in reservoir.patches) == [3.0, 4.0, 5.0]
    reservoir.offer(kept(6.0, 6))
    assert sorted(each.key for each in reservoir.patches) == [4.0, 5.0, 6.0]
    assert not reservoir.would_keep(3.5)


def test_all_clips_of_a_source_are_held_out_together() -> None:
    clips = {f"{name}{index}.mp4": name for name in "abcdef" for index in range(3)}
    for seed in range(5):
        held_out = choose_held_out(clips, CreateConfig(validation_fraction=0.3, seed=seed))
        sources = {clips[clip] for clip in held_out}
        assert held_out == {clip for clip, source in clips.items() if source in sources}
        assert len(sources) == 2
    assert choose_held_out({"a": "x", "b": "x"}, CreateConfig()) == set()


def test_what_is_held_out_can_be_named() -> None:
    clips = {"a/1.mp4": "Blender, Bunny", "a/2.mp4": "Blender, Sintel", "b/1.mp4": "me"}
    assert choose_held_out(clips, CreateConfig(hold_out=("Blender*",))) == {"a/1.mp4", "a/2.mp4"}
    assert choose_held_out(clips, CreateConfig(hold_out=("*/1.mp4",))) == {"a/1.mp4", "b/1.mp4"}
    with pytest.raises(DatasetError, match="'c\\*'"):
        choose_held_out(clips, CreateConfig(hold_out=("Blender*", "c*")))


def test_equal_names_in_two_folders_are_two_clips(clips: Path, tmp_path: Path) -> None:
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


def test_licences_are_carried_into_shards_and_report(clips: Path, tmp_path: Path) -> None:
    listed = tmp_path / "sources.csv"
    rows = [f"clip{index}.mp4,CC0,somebody" for index in range(2)] + ["clip2.mp4,MIT,nobody"]
    listed.write_text("\n".join(["file,licence,attribution", *rows]))
    report = create_dataset(clips, tmp_path / "set", SMALL, sources=[listed], workers=1)
    parts = {file["file"]: file["split"] for file in report["files"]}
    assert parts["clip0.mp4"] == parts["clip1.mp4"]
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    licences = {
        (metadata["file"], metadata["licence"])
        for metadata in map(shards.read_metadata, range(len(shards)))
    }
    assert licences <= {("clip0.mp4", "CC0"), ("clip1.mp4", "CC0"), ("clip2.mp4", "MIT")}
    table = (tmp_path / "set" / "attribution.csv").read_text()
    assert "clip2.mp4" in table
    assert "MIT,nobody" in table
    assert "broken.mp4" not in table
    listed.write_text("file,license\na,b")
    with pytest.raises(DatasetError, match="lacks the columns attribution, licence"):
        create_dataset(clips, tmp_path / "other", SMALL, sources=[listed], workers=1)


def test_fast_motion_is_kept_at_a_smaller_scale(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    selection = Selection(size=48, max_motion=6.0)
    config = replace(
        SMALL, selection=selection, strides=(2,), scales=(1.0, 0.5), validation_fraction=0.0
    )
    made = render_video("clip.mp4", frames=16, size=(120, 200), sound=False)
    create_dataset(made, tmp_path / "set", config, workers=1)
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    found = [shards.read_metadata(index) for index in range(len(shards))]
    assert {metadata["scale"] for metadata in found} == {0.5}
    assert all(3 < metadata["motion"] <= 6 for metadata in found)


def test_a_full_disk_ends_with_one_error(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written for real on a file system of 300 KB where that can be had; here the shard's folder is
    no folder."""
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    whole = contents(tmp_path / "set")
    for path in (tmp_path / "set").rglob("clip1*"):
        path.unlink()
    part = "train" if any(name.startswith("train/clip1") for name in whole) else "validation"
    (tmp_path / "set" / part / f"{make_key('clip1.mp4')}.tar.part").mkdir()
    with pytest.raises(
        DatasetError, match=r"cannot be written .*: free disk space and run the same command again"
    ):
        create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    (tmp_path / "set" / part / f"{make_key('clip1.mp4')}.tar.part").rmdir()
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    assert contents(tmp_path / "set") == whole


def test_colours_change_places_together() -> None:
    frames = np.zeros((3, 32, 32, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    crops = [
        augment(frames, np.random.default_rng(seed), 32, 0, shuffle_channels=1.0)
        for seed in range(60)
    ]
    assert {tuple(crop[0, 0, 0]) for crop in crops} == set(itertools.permutations((10, 20, 30)))
    assert all(np.array_equal(crop[0], crop[2]) for crop in crops)


@pytest.mark.parametrize("time", [Fraction(1, 2), Fraction(1, 4)])
def test_fades_are_even_over_time_and_change_the_brightness(time: Fraction) -> None:
    still = np.stack([noise()[:32, :32]] * 3)
    steps = []
    for seed in range(60):
        first, between, second = augment(
            still, np.random.default_rng(seed), 32, 0, fades=1.0, time=time
        ).astype(float)
        assert np.abs(between - (first + float(time) * (second - first))).max() <= 1.0, (
            seed
        )  # rounding
        steps.append(second.mean() - first.mean())
    assert min(steps) < -40
    assert max(steps) > 40


def test_still_and_flat_patches_are_taken_where_asked_for(
    render_video: Callable[..., Path], tmp_path: Path
) -> None:
    made = render_video("clip.mp4", frames=16, size=(96, 128), sound=False, cut_at=8)
    config = replace(
        SMALL,
        random_patches=5,
        validation_fraction=0.0,
        selection=replace(SMALL.selection, min_motion=1000.0),
    )
    report = create_dataset(made, tmp_path / "set", config, workers=1)
    assert report["samples"]["train"] == 5
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    for metadata in map(shards.read_metadata, range(len(shards))):
        assert metadata["random"]
        assert metadata["frame"] >= 8 or metadata["frame"] + 2 * metadata["stride"] < 8


def test_any_place_will_do_but_not_beside_a_repeat() -> None:
    rng = np.random.default_rng(0)
    still, moved = [noise()] * 3, moving(3)
    assert choose_random_place(still, 64, Selection(), rng)
    assert choose_random_place(moved, 64, Selection(), rng)
    assert choose_random_place([np.full((80, 80, 3), 90, np.uint8)] * 3, 64, Selection(), rng)
    assert choose_random_place([moved[0], moved[0], moved[2]], 64, Selection(), rng) is None
    assert choose_random_place(moved, 200, Selection(), rng) is None
