"""Files of visitors are stored in private folders under random names, and deleted."""

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from midframe.web import storage as module
from midframe.web.storage import SessionError, Storage, StoredFile


@pytest.fixture
def closed_tokens() -> list[str]:
    return []


@pytest.fixture
def storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_tokens: list[str]
) -> Iterator[Storage]:
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    storage = Storage(2, closed_tokens.append)
    yield storage
    storage.close()
    assert not storage.root.exists()


def write(path: Path) -> StoredFile:
    path.write_text("content")
    return StoredFile(path, "video/mp4")


def test_folders_are_private(storage: Storage) -> None:
    session = storage.open_session()
    for folder in (storage.root, session.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_sessions_and_files_have_names_that_cannot_be_guessed(storage: Storage) -> None:
    first, second = storage.open_session(), storage.open_session()
    assert len({first.token, second.token}) == 2
    assert len(first.token) >= 32
    assert first.new_path(".mp4").name != first.new_path(".mp4").name
    name = first.add(write(first.new_path()))
    assert len(name) >= 22
    assert name not in second.files


def test_a_new_upload_replaces_the_previous_one(storage: Storage) -> None:
    session = storage.open_session()
    old, new = (write(session.new_path()) for _ in range(2))
    name = session.set_upload("video", old)
    session.set_upload("first", write(session.new_path()))
    session.set_upload("video", new)
    assert not old.path.exists()
    assert name not in session.files
    assert session.uploads["video"] is new
    assert session.files[session.name_of(new)] is new


def test_new_results_replace_the_previous_ones(storage: Storage) -> None:
    session = storage.open_session()
    old, new = (write(session.new_path()) for _ in range(2))
    session.set_results("video", [old])
    (name,) = session.set_results("video", [new])
    assert not old.path.exists()
    assert list(session.files) == [name]


def test_an_unused_session_is_deleted(storage: Storage, closed_tokens: list[str]) -> None:
    old, used = storage.open_session(), storage.open_session()
    write(old.new_path())
    later = time.monotonic() + 2 * 3600 + 1
    with storage.connected(used.token), storage.connected(old.token):
        used.used = later
        assert storage.sweep(later) == [old.token]
    assert closed_tokens == [old.token]
    assert not old.folder.exists()
    assert storage.find(used.token) is used
    with pytest.raises(SessionError, match="this page has expired: reload it"):
        storage.find(old.token)
    with pytest.raises(SessionError, match="this page is still loading: try again"):
        storage.find("")


def test_a_session_ends_after_its_page_is_closed_but_not_when_the_connection_is_lost(
    storage: Storage,
) -> None:
    closed, reloaded, lost, never = (storage.open_session() for _ in range(4))
    for each in (closed, reloaded, lost):
        with storage.connected(each.token):
            pass
    storage.leave(closed.token)
    storage.leave(reloaded.token)
    assert storage.open_session(reloaded.token) is reloaded
    with storage.connected(reloaded.token):
        later = time.monotonic() + module.LEAVE_SECONDS + 1
        assert storage.sweep(later) == [closed.token]
        much_later = time.monotonic() + module.CONNECT_SECONDS + 1
        assert storage.sweep(much_later) == [never.token]
    assert storage.is_open(lost.token)
    assert storage.open_session(closed.token).token != closed.token


def test_too_many_sessions_are_refused(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 1)
    lost = storage.open_session()
    assert storage.open_session(lost.token) is lost
    session = storage.open_session()
    assert not storage.is_open(lost.token)
    with (
        storage.connected(session.token),
        pytest.raises(SessionError, match="too many pages are open"),
    ):
        storage.open_session()
    storage.close_session(session.token)
    storage.open_session()


def test_old_folders_of_a_killed_server_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    old, recent, other = (
        tmp_path / name for name in ("midframe-web-old", "midframe-web-new", "others")
    )
    for folder in (old, recent, other):
        folder.mkdir()
    long_ago = time.time() - 3 * 3600
    for folder in (old, other):
        module.os.utime(folder, (long_ago, long_ago))
    Storage(2, lambda _: None).close()
    assert not old.exists()
    assert recent.exists()
    assert other.exists()


def test_an_upload_is_refused_when_the_disk_is_full(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.check_space(1000)
    monkeypatch.setattr(module, "RESERVED_BYTES", 1 << 60)
    with pytest.raises(SessionError, match="disk is nearly full"):
        storage.check_space(1000)
