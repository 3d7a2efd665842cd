"""Encoded segments in a database: each is in it completely or not at all, however the program
ends."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import av
from av.packet import PacketSideData, packet_sidedata_type_from_literal

SCHEMA = """
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
COPY_STATEMENTS = (
    "INSERT INTO packets SELECT number + :last, pts, keyframe, data FROM other.packets",
    "INSERT INTO side_data SELECT packet + :last, kind, data FROM other.side_data",
    "INSERT INTO segments SELECT number, extradata FROM other.segments",
)
"""Statements that copy another database behind the packets here."""


class SegmentDatabase:
    """Segments in an SQLite file.

    Args:
        path: of the file, in an existing folder.
        new: delete a file that exists.

    Raises:
        sqlite3.Error: here and in all methods, the file cannot be read or written.
    """

    def __init__(self, path: Path, *, new: bool) -> None:
        if new:
            path.unlink(missing_ok=True)
        # Only one thread at a time uses it: the one that encodes, then the one that joins.
        # An absolute path, because SQLite parses a name that begins with "file:" as a URI.
        self._database = sqlite3.connect(path.absolute(), check_same_thread=False)
        if new:
            self._database.executescript(SCHEMA)
        else:
            self._check()

    def _check(self) -> None:
        """Raise a sqlite3.DatabaseError if the file is damaged or lacks a segment."""
        try:
            faults = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if faults != "ok":
                raise sqlite3.DatabaseError(faults)
            tables = self._database.execute("SELECT name FROM sqlite_master").fetchall()
            if ("segments",) not in tables:  # as if the file was missing: SQLite creates it
                raise sqlite3.DatabaseError("no table of segments")
            last = self._database.execute("SELECT max(number) FROM segments").fetchone()[0]
            if last is not None and last + 1 != self.count:
                raise sqlite3.DatabaseError(f"{self.count} of {last + 1} segments")
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """Return the number of segments."""
        return int(self._database.execute("SELECT count(*) FROM segments").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, segment: int, extradata: bytes | None, packets: Iterable[av.Packet]) -> None:
        """Store a segment, completely or not at all.

        Args:
            segment: its number.
            extradata: parameter sets of its encoder.
            packets: in the order of decoding.
        """
        with self._database:
            for packet in packets:
                row = (packet.pts, packet.is_keyframe, bytes(packet))
                number = self._database.execute(
                    "INSERT INTO packets (pts, keyframe, data) VALUES (?, ?, ?)", row
                ).lastrowid
                for side_data in packet.iter_sidedata():
                    values = (number, side_data.data_type, bytes(side_data))
                    self._database.execute("INSERT INTO side_data VALUES (?, ?, ?)", values)
            self._database.execute(
                "INSERT INTO segments VALUES (?, ?)", (segment, extradata or b"")
            )

    def add_file(self, path: Path) -> None:
        """Copy all segments of another database, which follow on those here, completely or not at
        all."""
        self._database.execute("ATTACH ? AS other", (str(path.absolute()),))
        try:
            with self._database:
                last = self._database.execute("SELECT max(number) FROM packets").fetchone()[0] or 0
                for statement in COPY_STATEMENTS:
                    self._database.execute(statement, {"last": last})
        finally:
            self._database.execute("DETACH other")

    def extradata(self) -> set[bytes]:
        """Return the parameter sets of the segments' encoders, without repetitions."""
        found = self._database.execute("SELECT DISTINCT extradata FROM segments")
        return {bytes(row[0]) for row in found}

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


def decoding_times(pts: list[int]) -> list[int]:
    """Return dts for frames in decoding order: rising, and none later than the frame's pts.

    Those of the encoders cannot be used: the dts of reordered frames at the end of a segment may be
    later than the first dts of the next one.
    """
    shown = sorted(pts)
    shown_index = {time: index for index, time in enumerate(shown)}
    delay = max((index - shown_index[time] for index, time in enumerate(pts)), default=0)
    """Largest number of frames by which a frame is decoded later than shown."""
    step = min((after - before for before, after in pairwise(shown)), default=1)
    before_first = [shown[0] - number * step for number in range(delay, 0, -1)]
    return (before_first + shown)[: len(pts)]


def _side_data(kind: str, content: bytes) -> PacketSideData:
    number = packet_sidedata_type_from_literal(kind)  # type: ignore[arg-type]
    side_data = PacketSideData(number, len(content))  # type: ignore[call-arg]
    side_data.update(content)
    return side_data
