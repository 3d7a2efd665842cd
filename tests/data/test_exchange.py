"""Import and export of datasets."""

import shutil
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.data.create_config import CreateConfig
from midframe.data.exchange import export_dataset, import_dataset
from midframe.data.extract import SPLITS
from midframe.data.shards import Shards, ShardWriter, encode_jpeg
from midframe.data.tfrecord import read_examples, write_examples
from midframe.errors import DatasetError

KNOWN = bytes.fromhex(  # written by TensorFlow 2.21 for {"height": [48]}
    "13000000000000000c91321b0a110a0f0a0668656967687412051a030a0130aba2e5fa"
)


def render_image(seed: int, height: int = 40, width: int = 48) -> Any:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def make_example(seed: int) -> dict[str, list[Any]]:
    frames = {
        f"img{index + 1}": [encode_jpeg(render_image(3 * seed + index))] for index in range(3)
    }
    return {**frames, "height": [40], "width": [48]}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    for name in ("a", "b", "c"):
        write_examples(folder / f"{name}.tfrecord", [make_example(seed) for seed in range(3)])
    return folder


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=5),
            st.one_of(
                st.lists(st.binary(max_size=20), min_size=1, max_size=3),
                st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
                st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3),
            ),
            max_size=3,
        ),
        max_size=4,
    )
)
def test_written_examples_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, examples: list[dict[str, list[Any]]]
) -> None:
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    assert write_examples(path, examples) == len(examples)
    assert list(read_examples(path)) == examples


def test_written_records_equal_those_of_tensorflow(tmp_path: Path) -> None:
    assert write_examples(tmp_path / "a.tfrecord", [{"height": [48]}]) == 1
    assert (tmp_path / "a.tfrecord").read_bytes() == KNOWN


@pytest.mark.slow
def test_tensorflow_reads_our_records_and_writes_identical_ones(
    records: Path, tmp_path: Path
) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    features = {
        name: tensorflow.io.FixedLenFeature([], tensorflow.string)
        for name in ("img1", "img2", "img3")
    }
    features |= {
        name: tensorflow.io.FixedLenFeature([], tensorflow.int64) for name in ("height", "width")
    }
    records_read = tensorflow.data.TFRecordDataset(str(records / "a.tfrecord"))
    parsed = [tensorflow.io.parse_single_example(record, features) for record in records_read]
    assert len(parsed) == 3
    for seed, values in enumerate(parsed):
        assert values["img2"].numpy() == make_example(seed)["img2"][0]
        assert tensorflow.io.decode_jpeg(values["img1"]).shape == (40, 48, 3)
        assert (values["height"].numpy(), values["width"].numpy()) == (40, 48)
    with tensorflow.io.TFRecordWriter(str(tmp_path / "tensorflow.tfrecord")) as writer:
        for record in records_read:
            writer.write(record.numpy())
    assert (tmp_path / "tensorflow.tfrecord").read_bytes() == (records / "a.tfrecord").read_bytes()


def test_imported_records_are_exported_unchanged(records: Path, tmp_path: Path) -> None:
    report = import_dataset(records, tmp_path / "set", config=CreateConfig(hold_out=("b*",)))
    assert report["samples"] == {"train": 6, "synthetic": 0, "validation": 3}
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    assert shards.read_frames(0).shape == (3, 40, 48, 3)
    assert abs(shards.read_frames(1)[1].astype(int) - render_image(4)).mean() < 3
    assert export_dataset(tmp_path / "set", tmp_path / "out") == 9
    exported = sorted((tmp_path / "out" / "train").iterdir())
    assert [list(read_examples(path)) for path in exported] == [
        [make_example(seed) for seed in range(3)]
    ] * 2


def test_an_interrupted_import_is_resumed(records: Path, tmp_path: Path) -> None:
    complete = (records / "b.tfrecord").read_bytes()
    (records / "b.tfrecord").write_bytes(complete[:-100])
    with pytest.raises(DatasetError, match=r"record 2 of .*b\.tfrecord is truncated"):
        import_dataset(records, tmp_path / "set")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("a-*.tar")}
    assert len(kept) == 1
    assert not list((tmp_path / "set").rglob("b-*"))
    (records / "b.tfrecord").write_bytes(complete)
    assert sum(import_dataset(records, tmp_path / "set")["samples"].values()) == 9
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(
    ("index", "message"),
    [(3, "length with a wrong checksum"), (50, "has a wrong checksum"), (-2, "wrong checksum")],
)
def test_damaged_records_raise_an_error(records: Path, index: int, message: str) -> None:
    content = bytearray((records / "a.tfrecord").read_bytes())
    content[index] ^= 1
    (records / "a.tfrecord").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        list(read_examples(records / "a.tfrecord"))


def test_records_without_valid_triplets_raise_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_examples(path, [{"image": [b"x"]}])
    with pytest.raises(DatasetError, match="lacks img1, img2, img3"):
        import_dataset(path, tmp_path / "set")
    write_examples(path, [{**make_example(0), "img1": [b"no image"]}])
    with pytest.raises(DatasetError, match="damaged image"):
        import_dataset(path, tmp_path / "set")
    write_examples(path, [{**make_example(0), "img1": [encode_jpeg(render_image(0, 16, 16))]}])
    with pytest.raises(DatasetError, match="different sizes"):
        import_dataset(path, tmp_path / "set")
    with pytest.raises(DatasetError, match="does not exist"):
        import_dataset(tmp_path / "nowhere", tmp_path / "set")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="contains no sequences"):
        import_dataset(tmp_path / "empty", tmp_path / "set")
    with pytest.raises(DatasetError, match="is not a dataset"):
        export_dataset(tmp_path / "empty", tmp_path / "out")


@pytest.mark.parametrize("frames", [3, 7])
def test_vimeo_is_imported_without_its_test_sequences(tmp_path: Path, frames: int) -> None:
    prefix = {3: "tri", 7: "sep"}[frames]
    for name in ("00001/0001", "00001/0002", "00002/0001", "00002/0002"):
        folder = tmp_path / "vimeo" / "sequences" / name
        folder.mkdir(parents=True)
        for number in range(frames):
            cv2.imwrite(str(folder / f"im{number + 1}.png"), render_image(number))
    (tmp_path / "vimeo" / f"{prefix}_testlist.txt").write_text("00001/0002\n")
    report = import_dataset(
        tmp_path / "vimeo", tmp_path / "set", config=CreateConfig(hold_out=("*00002",))
    )
    assert report["samples"] == {"train": 1, "synthetic": 0, "validation": 2}
    shards = Shards(list((tmp_path / "set" / "train").glob("*.tar")))
    assert shards.read_frames(0).shape == (frames, 40, 48, 3)
    export_dataset(tmp_path / "set", tmp_path / "out")
    values = next(read_examples(next((tmp_path / "out" / "train").iterdir())))
    assert values["img3"] == [shards.read_jpeg(0)[-1]]


def test_the_outermost_frames_of_longer_samples_are_exported(tmp_path: Path) -> None:
    (tmp_path / "set" / "train").mkdir(parents=True)
    with ShardWriter(tmp_path / "set" / "train" / "a.tar") as shard:
        shard.write("a", np.stack([render_image(seed) for seed in range(5)]), {})
    export_dataset(tmp_path / "set", tmp_path / "out")
    values = next(read_examples(tmp_path / "out" / "train" / "a.tfrecord"))
    assert values["img2"] == [encode_jpeg(render_image(2))]
    assert values["img3"] == [encode_jpeg(render_image(4))]
    assert (
        struct.unpack("<Q", (tmp_path / "out" / "train" / "a.tfrecord").read_bytes()[:8])[0] > 1000
    )


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Export eight clips, one of them held out, and one photograph to TFRecord files."""
    clips = {
        "train": ("a", "b", "c", "d", "e", "f", "g"),
        "validation": ("h",),
        "synthetic": ("photo",),
    }
    for split, names in clips.items():
        (tmp_path / "set" / split).mkdir(parents=True)
        for seed, name in enumerate(names):
            with ShardWriter(tmp_path / "set" / split / f"{name}.tar") as shard:
                shard.write(name, np.stack([render_image(seed + index) for index in range(3)]), {})
    export_dataset(tmp_path / "set", tmp_path / "records")
    return tmp_path / "records"


def clips_of_splits(dataset: Path) -> dict[str, set[str]]:
    return {
        split: {path.name.rpartition("-")[0] for path in (dataset / split).glob("*.tar")}
        for split in SPLITS
    }


EXPECTED_SPLITS = {"train": set("abcdefg"), "synthetic": {"photo"}, "validation": {"h"}}


def test_splits_are_preserved_by_export_and_import(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(3):  # whatever split the seed would choose
        import_dataset(exported, tmp_path / f"again{seed}", config=CreateConfig(seed=seed))
        assert clips_of_splits(tmp_path / f"again{seed}") == EXPECTED_SPLITS
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in exported.rglob("*.*"):
        shutil.copy(path, flat)
    import_dataset(flat, tmp_path / "flat-set")
    assert clips_of_splits(tmp_path / "flat-set") == EXPECTED_SPLITS
    assert caplog.records == []


def test_more_clips_can_be_held_out_on_import(exported: Path, tmp_path: Path) -> None:
    import_dataset(exported, tmp_path / "again", config=CreateConfig(hold_out=("*/b.*",)))
    assert clips_of_splits(tmp_path / "again") == {
        **EXPECTED_SPLITS,
        "train": set("acdefg"),
        "validation": {"b", "h"},
    }


def test_an_import_without_splits_holds_out_files_and_logs_it(
    records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import_dataset(records, tmp_path / "set")
    (record,) = caplog.records
    assert "records does not define a validation split: holding out 1 of 3 files" in record.message
    caplog.clear()
    import_dataset(records, tmp_path / "other", config=CreateConfig(hold_out=("a*",)))
    assert caplog.records == []


def test_a_damaged_list_of_splits_is_refused(exported: Path, tmp_path: Path) -> None:
    (exported / "split.json").write_text('{"train/a.tfrecord": "nowhere"}')
    with pytest.raises(DatasetError, match=r"split\.json is not a list of files and their splits"):
        import_dataset(exported, tmp_path / "again")


def test_a_dataset_is_never_overwritten_or_mixed_with_another(
    exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="is an input"):
        export_dataset(tmp_path / "set", tmp_path / "set")
    with pytest.raises(DatasetError, match="is an input"):
        import_dataset(exported, exported)
    (exported / "train" / "z.tfrecord").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"contains other TFRecord files \(.*z\.tfrecord\)"):
        export_dataset(tmp_path / "set", exported)


def test_hidden_files_are_skipped(exported: Path, tmp_path: Path) -> None:
    for path in (exported / "train" / "._a.tfrecord", tmp_path / "set" / "train" / "._a.tar"):
        path.write_bytes(b"\0\5\x16\7Mac OS X")
    import_dataset(exported, tmp_path / "again")
    assert clips_of_splits(tmp_path / "again") == EXPECTED_SPLITS
    assert export_dataset(tmp_path / "set", tmp_path / "new") == 9
