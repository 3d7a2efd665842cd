"""Shards of samples."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import moving

from midframe.data.shards import Shards, ShardWriter
from midframe.errors import DatasetError


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "a.tar") as writer:
        for index in range(4):
            writer.write(f"clip-{index}", np.stack(moving(index + 1)), {"index": index})
    return tmp_path / "a.tar"


def test_written_samples_are_read_back(shard: Path) -> None:
    shards = Shards([shard])
    for index in (2, 0, 3, 1):
        assert shards.read_metadata(index) == {"index": index}
        error = abs(shards.read_frames(index).astype(int) - np.stack(moving(index + 1)))
        assert error.mean() < 2


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # webdataset leaves the file open
def test_webdataset_reads_the_shards(shard: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"clip-{index}" for index in range(4)]
    assert np.array_equal(samples[1]["2.jpg"], Shards([shard]).read_frames(1)[2])
    assert samples[1]["json"] == {"index": 1}


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.95])
def test_a_truncated_shard_raises_an_error(shard: Path, fraction: float) -> None:
    content = shard.read_bytes()
    with tarfile.open(shard) as tar:
        end = max(member.offset_data + member.size for member in tar)
    shard.write_bytes(content[: int(end * fraction)])
    with pytest.raises(DatasetError, match=r"a\.tar is not a complete shard"):
        Shards([shard])


def test_an_interrupted_shard_leaves_no_file(tmp_path: Path) -> None:
    def write_and_interrupt() -> None:
        with ShardWriter(tmp_path / "a.tar") as writer:
            writer.write("a", np.stack(moving(1)), {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt()
    assert list(tmp_path.iterdir()) == []
