import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from midframe.data.augment import augment, measure_guide
from midframe.data.create import CreateConfig, create_dataset, find_videos
from midframe.data.shards import Shards, ShardWriter
from midframe.data.show import draw_motion, make_contact_sheet, read_report
from midframe.data.stills import StillMotion, moving_patch
from midframe.data.triplets import Selection, find_candidates, optical_flow, warp_error
from midframe.errors import DatasetError

Image = np.ndarray[Any, Any]
SMALL = CreateConfig(selection=Selection(size=48), per_clip=20, strides=(1, 2), whole_frames=2, validation_share=0.3)


def noise(height: int = 160, width: int = 220) -> Image:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def moving(step: int, count: int = 3, size: int = 120) -> list[Image]:
    whole = noise()
    return [whole[10 : 10 + size, 20 + step * index : 20 + step * index + size] for index in range(count)]


def test_textured_motion_is_wanted_and_measured() -> None:
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
def test_what_teaches_nothing_is_left_out(frames: list[Image]) -> None:
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
            f"clip{index}.mp4", frames=16, size=(96, 128), sound=False, cut_at=8 if index == 1 else None
        )
        made.rename(folder / made.name)
    (folder / "broken.mp4").write_text("no video")
    return folder


def contents(dataset: Path) -> dict[str, bytes]:
    return {str(path.relative_to(dataset)): path.read_bytes() for path in sorted(dataset.rglob("*")) if path.is_file()}


def test_a_data_set_is_made_resumed_and_shown(clips: Path, tmp_path: Path) -> None:
    dataset, told = tmp_path / "set", []
    report = create_dataset(clips, dataset, SMALL, workers=1, progress=lambda *state: told.append(state))
    assert sorted(done for done, _, _ in told) == [1, 2, 3, 4]
    assert report["samples"]["train"] > 10
    assert report["samples"]["validation"] > 5
    splits = {clip["clip"]: clip["split"] for clip in report["clips"]}
    assert sorted(splits.values()) == ["train", "train", "validation", "validation"]
    assert next(clip["error"] for clip in report["clips"] if clip["clip"] == "broken.mp4")
    shards = Shards(list((dataset / "train").glob("*.tar")))
    assert len(shards) == report["samples"]["train"]
    assert shards.frames(0).shape == (3, 48, 48, 3)
    assert shards.facts(0)["clip"] in splits

    whole = contents(dataset)
    next((dataset / "clips").glob("clip1*")).unlink()
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


def test_no_sample_crosses_a_cut(clips: Path, tmp_path: Path) -> None:
    for name in ("clip0.mp4", "clip2.mp4", "broken.mp4"):
        (clips / name).unlink()
    create_dataset(clips, tmp_path / "set", SMALL, workers=1)
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    for facts in map(shards.facts, range(len(shards))):
        assert facts["frame"] >= 8 or facts["frame"] + 2 * facts["stride"] < 8


def test_folders_without_videos_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no videos"):
        find_videos(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        find_videos(tmp_path / "nowhere")
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(DatasetError, match="nothing in these videos"):
        create_dataset(tmp_path, tmp_path / "set", SMALL, workers=1)


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"frames": 4}, {"frames": 1}, {"strides": (0,)}):
        with pytest.raises(ValueError, match=str(next(iter(wrong.values()))).strip("()").split(",")[0]):
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
        assert shards.facts(index) == {"index": index}
        error = abs(shards.frames(index).astype(int) - np.stack(moving(index + 1)))
        assert error.mean() < 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves the file open
def test_shards_are_webdataset_shards(shard: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"clip-{index}" for index in range(4)]
    assert np.array_equal(samples[1]["2.jpg"], Shards([shard]).frames(1)[2])
    assert samples[1]["json"] == {"index": 1}


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test_a_shard_cut_short_is_told(shard: Path, kept: float) -> None:
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        end = max(member.offset_data + member.size for member in tar)
    shard.write_bytes(content[: int(end * kept)])
    with pytest.raises(DatasetError, match=r"a\.tar is not a whole shard"):
        Shards([shard])


def test_a_shard_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ShardWriter(tmp_path / "a.tar") as writer:
            writer.write("a", np.stack(moving(1)), {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_same_chance_gives_the_same_crop() -> None:
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
        guide = measure_guide(crop)
        there, back = (np.median(guide.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(there, -back, atol=0.6), seed
        seen.add(tuple(np.rint(there).astype(int)))
    assert len(seen) > 8
    assert (0, 0) in seen


def test_every_flip_and_turn_occurs() -> None:
    frames = np.stack([np.full((32, 32, 3), 20 * index, np.uint8) for index in range(3)])
    frames[:, :16, :16] += 100
    crops = {augment(frames, np.random.default_rng(seed), 32, 0).tobytes() for seed in range(200)}
    assert len(crops) == 4 * 2  # a bright corner in four places, forwards and backwards


def test_the_guide_trusts_what_it_explains() -> None:
    frames = np.stack(moving(4))
    good = measure_guide(frames)
    frames[2] = 255 - frames[2]
    bad = measure_guide(frames)
    assert good.trust.mean() > 0.8
    assert bad.trust[1].mean() < 0.3
    assert json.dumps(good.flows.shape) == "[2, 2, 120, 120]"


def test_photographs_are_made_to_move_evenly_about_the_middle() -> None:
    still = noise(480, 480)
    for seed in range(6):
        made = moving_patch(still, np.random.default_rng(seed), 128, 3, StillMotion(5.0, 1.0, layer_share=0.0))
        assert made is not None
        assert made.shape == (3, 128, 128, 3)
        guide = measure_guide(made)
        there, back = (np.median(guide.flows[index], axis=(1, 2)) for index in (0, 1))
        assert np.allclose(there, -back, atol=0.7)
        assert guide.trust.mean() > 0.8


def test_the_middle_of_moved_photographs_is_untouched() -> None:
    still = noise(480, 480)
    sharp = moving_patch(still, np.random.default_rng(3), 96, 3, StillMotion(layer_share=0.0, max_shift=0, max_bend=0))
    assert sharp is not None
    assert np.array_equal(sharp[0], sharp[1])
    assert moving_patch(still[:100], np.random.default_rng(3), 96, 3, StillMotion()) is None


def test_photographs_join_the_training_part(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), noise(400, 400))
    (folder / "b.jpg").write_text("no picture")
    config = replace(SMALL, per_still=5)
    report = create_dataset(clips, tmp_path / "set", config, stills=folder, workers=1)
    found = {clip["clip"]: clip for clip in report["clips"]}
    assert 0 < found["a.png"]["samples"] <= 5
    assert (found["b.jpg"]["samples"], found["b.jpg"]["error"]) == (0, "cannot be read")
    assert len(Shards(list((tmp_path / "set" / "train").glob("a-*.tar")))) == found["a.png"]["samples"]
    with pytest.raises(DatasetError, match="holds no photographs"):
        create_dataset(clips, tmp_path / "set", config, stills=clips, workers=1)
