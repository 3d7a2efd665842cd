"""Finished segments of an encoded video, stored beside the result so that interrupted work can be
resumed.

The frames of a result are encoded in segments, each by a new encoder, so it begins with a key
frame. A segment is in the database of the folder `OUT.midframe/` completely or not at all, however
the program ends. At the end the packets of all segments are joined in one file, without
re-encoding.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import av

from midframe.errors import BusyError, VideoError
from midframe.options import canonical_fingerprint
from midframe.outputs import short_name
from midframe.video.lock import FolderLock
from midframe.video.segment_database import SegmentDatabase

SUFFIX = ".midframe"
JOB_FILE, DATABASE = "job.json", "segments.db"
HASHED_FIELDS = ("video", "network")
"""Names of settings that are hashes, whose values are not shown in messages."""
MAY_BE_INTACT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CANTOPEN,
}
"""Primary error codes of SQLite after which a database may be intact."""


class UnusableWorkError(VideoError):
    """Unfinished work cannot be resumed, and must be started again."""


class Segments:
    """The finished segments of a result.

    Args:
        target: the result.
        settings: all options that affect its frames, as JSON values.
        resume: continue unfinished work, if there is any.
        overwrite: discard unfinished work.

    Raises:
        VideoError: another process works on the result; unfinished work exists and neither `resume`
            nor `overwrite` is given; or the unfinished work has other options.
    """

    def __init__(
        self,
        target: Path,
        settings: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.target = target
        self.folder = segments_folder(target)
        self.finished: int
        """Number of segments; they are numbered from 0."""
        self._lock = lock_target(target)
        try:
            self._begin(json.loads(json.dumps(settings)), resume=resume, overwrite=overwrite)
        except (OSError, sqlite3.Error) as error:
            self._lock.release()
            raise self._write_error(error) from error
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, settings: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        exists = (self.folder / JOB_FILE).exists()
        if exists and resume:
            _check_same(self.folder, settings)
        elif exists and not overwrite:
            raise VideoError(
                f"{self.folder} holds unfinished work: continue it with --resume, or start again "
                "with --overwrite"
            )
        else:
            self._lock.clear()
        new = not (exists and resume)
        self._database = self._new_database() if new else self._stored_database()
        self.finished = self._database.count
        _write_atomically(self.folder / JOB_FILE, json.dumps(settings, indent=1) + "\n")

    def _new_database(self) -> SegmentDatabase:
        try:
            return SegmentDatabase(self.folder / DATABASE, new=True)
        except (OSError, sqlite3.Error):
            self._lock.clear()
            raise

    def _stored_database(self) -> SegmentDatabase:
        try:
            return SegmentDatabase(self.folder / DATABASE, new=False)
        except sqlite3.OperationalError:
            raise  # locked, or not readable
        except sqlite3.DatabaseError as error:
            raise _damaged(self.folder, error) from error

    def add(self, segment: int, extradata: bytes | None, packets: Iterable[av.Packet]) -> None:
        """Store a segment; see `SegmentDatabase.add`.

        Raises:
            VideoError: it cannot be written.
        """
        try:
            self._database.add(segment, extradata, packets)
        except sqlite3.Error as error:
            raise self._write_error(error) from error
        self.finished += 1

    def add_file(self, path: Path) -> None:
        """Store the next segment from a database of its own; see `SegmentDatabase.add_file`.

        Raises:
            VideoError: it cannot be read or written.
        """
        try:
            self._database.add_file(path)
        except sqlite3.Error as error:
            raise self._write_error(error) from error
        self.finished += 1

    def extradata(self) -> bytes:
        """Return the parameter sets of the encoder, which all segments share.

        Raises:
            UnusableWorkError: segments have different ones, so they cannot be joined.
        """
        found = self._database.extradata()
        if len(found) > 1:
            raise UnusableWorkError(
                f"{self.folder} was started with another version of the encoder: start again with "
                "--overwrite"
            )
        return found.pop() if found else b""

    def packets(self, end: int) -> Iterator[av.Packet]:
        """Yield the packets of all segments; see `SegmentDatabase.packets`.

        Raises:
            UnusableWorkError: they are damaged.
            VideoError: they cannot be read.
        """
        try:
            yield from self._database.packets(end)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in MAY_BE_INTACT:
                raise VideoError(f"{self.folder} cannot be read ({error}): try again") from error
            raise _damaged(self.folder, error) from error

    def remove(self) -> None:
        """Delete the folder."""
        self._database.close()
        self._lock.clear()
        self._lock.release()

    def close(self) -> bool:
        """Close the database and keep its segments; if there are none, delete the folder and return
        false."""
        if not self.finished:
            self.remove()
            return False
        self._database.close()
        self._lock.clear(but=(JOB_FILE, DATABASE))
        self._lock.release()
        return True

    def _write_error(self, error: Exception) -> VideoError:
        return _write_error_for(self.target, error)


def lock_target(target: Path) -> FolderLock:
    """Lock the folder of the unfinished work on a result, which is created if it does not exist.

    Raises:
        BusyError: another process works on the result.
        VideoError: the folder cannot be written to.
    """
    try:
        return FolderLock(segments_folder(target))
    except BlockingIOError as error:
        raise BusyError(
            f"{target} is being worked on by another process: wait for it, or name another output"
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise VideoError(
            f"{segments_folder(target)} is not a folder: delete it, or name another output"
        ) from error
    except OSError as error:
        raise _write_error_for(target, error) from error


def _write_error_for(target: Path, error: Exception) -> VideoError:
    reason = getattr(error, "strerror", None) or error
    return VideoError(
        f"{target} cannot be written ({reason}): choose another place for OUT, or make room there"
    )


def segments_folder(target: Path) -> Path:
    """Return the folder of the unfinished work on a result."""
    target = target if target.name else target.absolute()  # images may go into the current folder
    return target.with_name(short_name(target.name, SUFFIX))


def _check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    try:
        found = json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))
        stored = canonical_fingerprint(found)
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(folder, error) from error
    if stored.get("version") != settings.get("version"):
        raise VideoError(
            f"{folder} holds unfinished work of another version of midframe: resume it with that "
            "version, or start again with --overwrite"
        )
    changed = [name for name in {**stored, **settings} if stored.get(name) != settings.get(name)]
    if changed:
        texts = ", ".join(
            _describe_change(name, stored.get(name), settings.get(name)) for name in changed
        )
        raise VideoError(
            f"{folder} belongs to a result with other settings: {texts}; use the same options, or "
            "--overwrite"
        )


def _damaged(folder: Path, error: Exception) -> UnusableWorkError:
    return UnusableWorkError(
        f"{folder} holds unfinished work that is damaged ({error}): start again with --overwrite"
    )


def _describe_change(name: str, before: Any, now: Any) -> str:
    return f"the {name} differs" if name in HASHED_FIELDS else f"{name} was {before} and is {now}"


def _write_atomically(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
