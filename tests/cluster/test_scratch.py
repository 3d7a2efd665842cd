import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("fsspec")

from midframe.cluster.scratch import MAX_SOURCES, Scratch
from midframe.cluster.storage import Storage
from midframe.errors import VideoError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the folder for temporary files of this process and of those that a test starts."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "tmp"


def test_a_source_in_a_folder_is_used_in_place_and_must_exist(tmp_path: Path) -> None:
    scratch = Scratch()
    (tmp_path / "a.mp4").touch()
    assert scratch.source(str(tmp_path / "a.mp4")) == tmp_path / "a.mp4"
    with pytest.raises(VideoError, match="does not exist on this machine"):
        scratch.source(str(tmp_path / "b.mp4"))
    scratch.close()


def test_only_copies_of_the_newest_sources_are_kept(
    tmp_path: Path, temporary: Path, s3: str
) -> None:
    scratch, storage = Scratch(), Storage(f"{s3}/scratch")
    (tmp_path / "a").write_bytes(b"video")
    names = [f"{number}.mp4" for number in range(MAX_SOURCES + 2)]
    for name in names:
        storage.upload(tmp_path / "a", name)
        assert scratch.source(f"{s3}/scratch/{name}").read_bytes() == b"video"
        scratch.source(f"{s3}/scratch/{names[0]}")
    kept = sorted(path.name for path in scratch.folder.rglob("*.mp4"))
    assert kept == [names[0], names[-1]]
    scratch.close()
    assert not list(temporary.rglob("*.mp4"))


def test_folders_of_killed_processes_are_deleted_and_those_of_others_kept(temporary: Path) -> None:
    code = (
        "import os, signal; from midframe.cluster.scratch import Scratch; "
        "(Scratch().folder / 'remaining').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    open_scratch = Scratch()
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(temporary.rglob("remaining"))) == 1
    Scratch().close()
    assert not list(temporary.rglob("remaining"))
    assert open_scratch.folder.is_dir()
    open_scratch.close()
