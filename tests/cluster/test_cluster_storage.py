"""Storage: each test runs on a local folder and on an S3 server."""

from pathlib import Path

import pytest

pytest.importorskip("fsspec")

from midframe.cluster.storage import Storage, is_address
from midframe.errors import VideoError
from midframe.media.reading.sources import SAMPLED_BYTES, identity_of


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "storage"))
    name = "".join(each if each.isalnum() else "-" for each in request.node.name)
    return Storage(f"{request.getfixturevalue('s3')}/{name}/")


def test_files_are_uploaded_listed_and_downloaded(storage: Storage, tmp_path: Path) -> None:
    storage.create()
    assert storage.list() == []
    path = tmp_path / "in.bin"
    path.write_bytes(bytes(range(256)) * (SAMPLED_BYTES // 64))
    storage.upload(path, "b.bin")
    storage.below("sub").create()
    storage.below("sub").upload(path, "c.bin")
    path.write_bytes(b"other")
    storage.upload(path, "a.bin")
    assert [name for name in storage.list() if name != "sub"] == ["a.bin", "b.bin"]
    assert storage.find() == {
        "a.bin": 5,
        "b.bin": 4 * SAMPLED_BYTES,
        "sub/c.bin": 4 * SAMPLED_BYTES,
    }
    assert (storage.exists("a.bin"), storage.exists("d.bin")) == (True, False)
    assert (storage.size("a.bin"), storage.read_text("a.bin")) == (5, "other")
    storage.download("b.bin", tmp_path / "sub" / "out.bin")
    assert storage.identity("b.bin") == identity_of(tmp_path / "sub" / "out.bin")
    storage.remove()
    assert storage.list() == []
    storage.remove()


def test_a_missing_file_is_reported_by_name(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"d\.bin cannot be read or written"):
        storage.download("d.bin", tmp_path / "d.bin")
    assert not list(tmp_path.glob("**/*.bin"))


def test_an_unknown_protocol_is_reported() -> None:
    with pytest.raises(VideoError, match="nosuch://bucket cannot be read or written"):
        Storage("nosuch://bucket")


def test_addresses_are_distinguished_from_folders() -> None:
    assert is_address("s3://videos/in")
    assert not is_address("file:///videos")
    assert not is_address("videos/in")
