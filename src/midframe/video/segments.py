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
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.packet import PacketSideData, packet_sidedata_type_from_literal

from midframe.errors import BusyError, VideoError
from midframe.outputs import short_name
from midframe.video.lock import FolderLock

SUFFIX = ".midframe"
JOB_FILE, DATABASE = "job.json", "segments.db"
HASHED_FIELDS = ("video", "network")
"""Fields of a job that are hashes, whose values are not shown in messages."""
TABLES = """
CREATE TABLE segments (number INTEGER PRIMARY KEY, extradata BLOB NOT NULL);
CREATE TABLE packets (
    number INTEGER PRIMARY KEY,
    pts INTEGER NOT NULL,
    keyframe INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE side_data (
    packet INTEGER NOT NULL REFERENCES packets,
    kind TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX of_packets ON side_data (packet);
"""
"""Packets are numbered in the order of decoding."""


class Segments:
    """The finished segments of a result.

    Args:
        target: the result.
        job: all options that affect its frames, as JSON values.
        resume: continue unfinished work, if there is any.
        overwrite: discard unfinished work.

    Raises:
        VideoError: another process works on the result; unfinished work exists and neither `resume`
            nor `overwrite` is given; or the unfinished work has other options.
    """

    def __init__(
        self, target: Path, job: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
    ) -> None:
        self.target = target
        self.folder = segments_folder(target)
        self.finished = 0
        """Number of segments; they are numbered from 0."""
        self._lock = lock_target(target)
        try:
            self._begin(json.loads(json.dumps(job)), resume=resume, overwrite=overwrite)
        except (OSError, sqlite3.Error) as error:
            self._lock.release()
            raise self._write_error(error) from error
        except VideoError:
            self._lock.release()
            raise

    def _begin(self, job: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        exists = (self.folder / JOB_FILE).exists()
        if exists and resume:
            _check_same(self.folder, job)
        elif exists and not overwrite:
            raise VideoError(
                f"{self.folder} holds unfinished work: continue it with --resume, or start again "
                "with --overwrite"
            )
        else:
            self._lock.clear()
        self._database = _open(self.folder / DATABASE, new=not (exists and resume))
        self.finished = self._database.execute("SELECT count(*) FROM segments").fetchone()[0]
        _write_whole(self.folder / JOB_FILE, json.dumps(job, indent=1) + "\n")

    def add(self, segment: int, extradata: bytes | None, packets: Iterable[av.Packet]) -> None:
        """Store a segment, completely or not at all.

        Args:
            segment: its number.
            extradata: parameter sets of its encoder.
            packets: in the order of decoding.
        """
        try:
            with self._database:
                for packet in packets:
                    row = (packet.pts, packet.is_keyframe, bytes(packet))
                    number = self._database.execute(
                        "INSERT INTO packets (pts, keyframe, data) VALUES (?, ?, ?)", row
                    ).lastrowid
                    for side in packet.iter_sidedata():
                        of_it = (number, side.data_type, bytes(side))
                        self._database.execute("INSERT INTO side_data VALUES (?, ?, ?)", of_it)
                self._database.execute(
                    "INSERT INTO segments VALUES (?, ?)", (segment, extradata or b"")
                )
        except sqlite3.Error as error:
            raise self._write_error(error) from error
        self.finished += 1

    def extradata(self) -> bytes:
        """Return the parameter sets of the encoder, which all segments share.

        Raises:
            VideoError: segments have different ones, so they cannot be joined.
        """
        found = [
            row[0] for row in self._database.execute("SELECT DISTINCT extradata FROM segments")
        ]
        if len(found) > 1:
            raise VideoError(
                f"{self.folder} was started with another version of the encoder: start again with "
                "--overwrite"
            )
        return bytes(found[0]) if found else b""

    def packets(self, end: int) -> Iterator[av.Packet]:
        """Yield the packets of all segments in decoding order, with consistent times for one file.

        Args:
            end: end of the last frame, as pts.
        """
        pts = [row[0] for row in self._database.execute("SELECT pts FROM packets ORDER BY number")]
        durations = {begin: until - begin for begin, until in pairwise([*sorted(pts), end])}
        found = self._database.execute(
            "SELECT number, pts, keyframe, data FROM packets ORDER BY number"
        )
        for (number, shown, keyframe, data), decoded in zip(
            found, decoding_times(pts), strict=True
        ):
            packet = av.Packet(data)
            packet.pts = shown
            packet.dts = decoded
            packet.duration = durations[shown]
            packet.is_keyframe = bool(keyframe)
            sides = self._database.execute(
                "SELECT kind, data FROM side_data WHERE packet = ?", (number,)
            )
            for kind, content in sides.fetchall():
                packet.set_sidedata(_side_data(kind, content))
            yield packet

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
        return _unwritable(self.target, error)


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
            f"{target} is being worked on by another process: wait for it, or name another OUT"
        ) from error
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: Exception) -> VideoError:
    reason = getattr(error, "strerror", None) or error
    return VideoError(
        f"{target} cannot be written ({reason}): choose another place for OUT, or make room there"
    )


def _open(path: Path, *, new: bool) -> sqlite3.Connection:
    if new:
        path.unlink(missing_ok=True)
    # Only one thread at a time uses it: the one that encodes, then the one that joins.
    # An absolute path, because SQLite parses a name that begins with "file:" as a URI.
    database = sqlite3.connect(path.absolute(), check_same_thread=False)
    if new:
        database.executescript(TABLES)
    return database


def segments_folder(target: Path) -> Path:
    """Return the folder of the unfinished work on a result."""
    target = target if target.name else target.absolute()  # images may go into the current folder
    return target.with_name(short_name(target.name, SUFFIX))


def decoding_times(pts: list[int]) -> list[int]:
    """Return dts for frames in decoding order: rising, and none later than the frame's pts.

    Those of the encoders cannot be used: the dts of reordered frames at the end of a segment may be
    later than the first dts of the next one.
    """
    shown = sorted(pts)
    place = {time: index for index, time in enumerate(shown)}
    delay = max((index - place[time] for index, time in enumerate(pts)), default=0)
    step = min((after - before for before, after in pairwise(shown)), default=1)
    early = [shown[0] - (delay - index) * step for index in range(delay)] if shown else []
    return (early + shown)[: len(pts)]


def _side_data(kind: str, content: bytes) -> PacketSideData:
    side_data = PacketSideData(packet_sidedata_type_from_literal(kind), len(content))  # type: ignore[call-arg, arg-type]
    side_data.update(content)
    return side_data


def _check_same(folder: Path, job: Mapping[str, Any]) -> None:
    stored = json.loads((folder / JOB_FILE).read_text())
    if stored.get("version") != job.get("version"):
        raise VideoError(
            f"{folder} holds unfinished work of another version of midframe: resume it with that "
            "version, "
            "or start again with --overwrite"
        )
    changed = [name for name in {**stored, **job} if stored.get(name) != job.get(name)]
    if changed:
        texts = ", ".join(
            _describe_change(name, stored.get(name), job.get(name)) for name in changed
        )
        raise VideoError(
            f"{folder} belongs to another job: {texts}; use its options, or --overwrite"
        )


def _describe_change(name: str, before: Any, now: Any) -> str:
    return f"the {name} differs" if name in HASHED_FIELDS else f"{name} was {before} and is {now}"


def _write_whole(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
