"""Files of visitors: a private folder for each session, random names, deleted after some hours."""

import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midframe.errors import MidframeError

PREFIX = "midframe-web-"
"""Prefix of the names of the folders with all sessions."""
MAX_SESSIONS = 50
RESERVED_BYTES = 1 << 30
"""Bytes of the disk that uploads leave free."""
SWEEP_SECONDS = 1.0
"""Seconds between two searches for old sessions."""
ABANDONED_SECONDS = 120.0
"""Seconds after which a folder that no server touched is that of a killed one."""
CONNECT_SECONDS = 120.0
"""Seconds that a new page may take to connect."""
LEAVE_SECONDS = 10.0
"""Seconds that a page that is reloaded may take to connect again."""
GONE = "this page has expired: reload it"
LOADING = "this page is still loading: try again"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredFile:
    """A file that the browser may read."""

    path: Path
    media_type: str
    facts: Any = None
    """Facts about an upload."""
    title: str = ""
    """The visitor's name of an upload; it never becomes a path."""


@dataclass(eq=False)
class Session:
    """An open page and its files."""

    token: str
    """Secret token of the page, sent with its requests."""
    folder: Path
    uploads: dict[str, StoredFile] = field(default_factory=dict)
    """Uploads by the input of the page."""
    files: dict[str, StoredFile] = field(default_factory=dict)
    """All files that the browser may read, by their random names."""
    results: dict[str, list[str]] = field(default_factory=dict)
    """Names of result files, by the tab that shows them."""
    cache: dict[Any, Any] = field(default_factory=dict)
    """Cached results computed from the uploads."""
    works: dict[str, Any] = field(default_factory=dict)
    """The latest job of each tab that shows its result again when the page is reloaded."""
    used: float = field(default_factory=time.monotonic)
    connections: int = 0
    """Streams by which pages keep the session."""
    ends: float | None = None
    """Time at which the session ends unless a page connects. A page that loses its connection
    without being closed keeps its session."""

    def new_path(self, suffix: str = "", *, word: str = "private") -> Path:
        """Return a new path with a random name; nothing of it may come from a visitor.

        Args:
            suffix: of the name.
            word: of the name, by which texts name the file (`texts.FILES`).
        """
        return self.folder / f"{word}-{secrets.token_hex(16)}{suffix}"

    def add(self, file: StoredFile) -> str:
        """Make a file readable for the browser; return its random name."""
        name = secrets.token_urlsafe(16)
        self.files[name] = file
        return name

    def set_upload(self, slot: str, file: StoredFile) -> str:
        """Store an upload, and delete the one that it replaces; return its random name."""
        before = self.uploads.pop(slot, None)
        if before:
            self.files = {name: each for name, each in self.files.items() if each is not before}
            before.path.unlink(missing_ok=True)
        self.cache.clear()
        self.uploads[slot] = file
        return self.add(file)

    def name_of(self, file: StoredFile) -> str:
        """Return the random name of a file."""
        return next(name for name, each in self.files.items() if each is file)

    def set_results(self, tab: str, files: list[StoredFile]) -> list[str]:
        """Store the results of a tab, and delete those that they replace; return random names."""
        for name in self.results.pop(tab, []):
            self.files.pop(name).path.unlink(missing_ok=True)
        self.results[tab] = [self.add(each) for each in files]
        return self.results[tab]

    def url(self, name: str) -> str:
        """Return the URL of a file."""
        return f"/midframe/files/{self.token}/{name}"


class SessionError(MidframeError):
    """There is no such session, or there are too many."""


class Storage:
    """All sessions, in a folder that only this user can read.

    Args:
        keep_hours: sessions that were unused for this long are deleted with their files.
        before_end: called with the token of a session before its files are deleted.
    """

    def __init__(self, keep_hours: float, before_end: Callable[[str], None]) -> None:
        self.keep_seconds = keep_hours * 3600
        self.before_end = before_end
        _remove_abandoned(self.keep_seconds)
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 700
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._sweep_always, name="sweep", daemon=True).start()

    def open_session(self, token: str = "") -> Session:
        """Begin a session, or return the one of a page that is reloaded.

        Args:
            token: of the session before, if there was one.

        Raises:
            SessionError: too many are open.
        """
        if not self.is_open(token):
            self._make_room()
        with self._lock:
            if token in self._sessions:
                return self._sessions[token]
            if len(self._sessions) >= MAX_SESSIONS:
                raise SessionError("too many pages are open: try again later")
            token = secrets.token_urlsafe(24)
            folder = self.root / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
            ends = time.monotonic() + CONNECT_SECONDS
            self._sessions[token] = Session(token, folder, ends=ends)
            return self._sessions[token]

    def _make_room(self) -> None:
        """End the session that was unused for longest and has no page, if there are too many."""
        with self._lock:
            lost = [each for each in self._sessions.values() if not each.connections]
            if len(self._sessions) < MAX_SESSIONS or not lost:
                return
        self.close_session(min(lost, key=lambda each: each.used).token)

    @contextmanager
    def connected(self, token: str) -> Iterator[None]:
        """Keep a session while its page is connected.

        Raises:
            SessionError: it has ended.
        """
        session = self.find(token)
        with self._lock:
            session.connections += 1
            session.ends = None
        try:
            yield
        finally:
            with self._lock:
                session.connections -= 1

    def is_open(self, token: str) -> bool:
        """Return whether a session has not ended, without marking it as used."""
        with self._lock:
            return token in self._sessions

    def leave(self, token: str) -> None:
        """End a session soon, unless its page was reloaded and connects again.

        Raises:
            SessionError: it has ended.
        """
        self.find(token).ends = time.monotonic() + LEAVE_SECONDS

    def find(self, token: str) -> Session:
        """Return a session, and mark it as used.

        Raises:
            SessionError: it has ended.
        """
        with self._lock:
            session = self._sessions.get(token)
            if session is None:
                raise SessionError(GONE if token else LOADING)
            session.used = time.monotonic()
            return session

    def check_space(self, count: int) -> None:
        """Check that there is room for an upload and its result.

        Args:
            count: bytes of the upload.

        Raises:
            SessionError: there is not.
        """
        if shutil.disk_usage(self.root).free < RESERVED_BYTES + 3 * count:
            raise SessionError("the server's disk is nearly full: try again later")

    def close_session(self, token: str) -> None:
        """End a session and delete its files."""
        with self._lock:
            session = self._sessions.pop(token, None)
        if session:
            self.before_end(token)
            shutil.rmtree(session.folder, ignore_errors=True)

    def sweep(self, now: float) -> list[str]:
        """End sessions that were left, or not used for long; return their tokens.

        Args:
            now: as of `time.monotonic`.
        """
        with self._lock:
            old = [
                each.token
                for each in self._sessions.values()
                if now - each.used > self.keep_seconds
                or (each.ends is not None and now > each.ends and not each.connections)
            ]
        for token in old:
            self.close_session(token)
        return old

    def close(self) -> None:
        """Delete everything."""
        self._closed.set()
        shutil.rmtree(self.root, ignore_errors=True)

    def _sweep_always(self) -> None:
        while not self._closed.wait(SWEEP_SECONDS):
            self.sweep(time.monotonic())
            try:
                os.utime(self.root)
            except OSError as error:
                if not self._closed.is_set():
                    log.warning("%s: %s", self.root, error.strerror)


def _remove_abandoned(seconds: float) -> None:
    """Delete folders of killed servers, which were not changed for long."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
        except OSError:
            continue
        own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if own and time.time() - found.st_mtime > max(seconds, ABANDONED_SECONDS):
            shutil.rmtree(folder, ignore_errors=True)
