"""Segments in a database: their contents, and the times of packets in one file."""

import random
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import av
import pytest
from av.packet import PacketSideData, packet_sidedata_type_from_literal
from hypothesis import given
from hypothesis import strategies as st

from midframe.video.segment_database import SegmentDatabase, decoding_times

DISPLAY_MATRIX = bytes(range(36))


def new_packet(pts: int, *, keyframe: bool = False, side_data: bool = False) -> av.Packet:
    packet = av.Packet(b"frame %d" % pts)
    packet.pts = pts
    packet.is_keyframe = keyframe
    if side_data:
        content = PacketSideData(packet_sidedata_type_from_literal("display_matrix"), 36)
        content.update(DISPLAY_MATRIX)
        packet.set_sidedata(content)
    return packet


def contents(database: SegmentDatabase, end: int = 100) -> list[bytes]:
    return [bytes(packet) for packet in database.packets(end)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SegmentDatabase]:
    found = SegmentDatabase(tmp_path / "segments.db", new=True)
    yield found
    found.close()


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(0, 4), st.randoms())
def test_frames_are_decoded_in_order_and_before_they_are_shown(
    gaps: list[int], depth: int, chance: random.Random
) -> None:
    shown = [sum(gaps[:n]) for n in range(len(gaps))]
    order: list[int] = []
    waiting = list(shown)
    while waiting:
        order.append(waiting.pop(chance.randint(0, min(depth, len(waiting) - 1))))
    decoded = decoding_times(order)
    assert all(before < after for before, after in pairwise(decoded))
    assert all(time <= pts for time, pts in zip(decoded, order, strict=True))
    assert depth or decoded == order


def test_decoding_times_precede_presentation_times_by_the_reordering_delay() -> None:
    assert decoding_times([100, 130, 110, 140]) == [90, 100, 110, 130]
    assert decoding_times([]) == []


def test_packets_of_all_segments_are_read_with_continuous_decoding_times(
    database: SegmentDatabase,
) -> None:
    stored = [new_packet(0, keyframe=True, side_data=True), new_packet(30), new_packet(10)]
    database.add(0, b"parameters", stored)
    database.add(1, b"parameters", [new_packet(40, keyframe=True, side_data=True)])
    found = list(database.packets(45))
    assert [bytes(packet) for packet in found] == [
        b"frame 0",
        b"frame 30",
        b"frame 10",
        b"frame 40",
    ]
    assert [packet.pts for packet in found] == [0, 30, 10, 40]
    assert [packet.dts for packet in found] == [-10, 0, 10, 30]
    assert [packet.duration for packet in found] == [10, 10, 20, 5]
    assert [packet.is_keyframe for packet in found] == [True, False, False, True]
    sides = [[(each.data_type, bytes(each)) for each in packet.iter_sidedata()] for packet in found]
    matrix = [("display_matrix", DISPLAY_MATRIX)]
    assert sides == [matrix, [], [], matrix]


def test_parameter_sets_are_listed_once(database: SegmentDatabase) -> None:
    assert database.extradata() == set()
    for number, extradata in enumerate((b"one", b"one", None, b"two")):
        database.add(number, extradata, [])
    assert database.extradata() == {b"one", b"", b"two"}


def test_a_segment_that_fails_halfway_is_not_stored(database: SegmentDatabase) -> None:
    def packets() -> Iterator[av.Packet]:
        yield new_packet(0, side_data=True)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.add(0, b"", packets())
    assert (database.count, contents(database)) == (0, [])
    database.add(0, b"", [new_packet(5)])
    assert (database.count, contents(database)) == (1, [b"frame 5"])
    assert not [*next(database.packets(9)).iter_sidedata()]


def test_segments_of_another_database_are_appended(
    database: SegmentDatabase, tmp_path: Path
) -> None:
    other = SegmentDatabase(tmp_path / "other.db", new=True)
    other.add(1, b"two", [new_packet(20), new_packet(30, side_data=True)])
    other.close()
    database.add(0, b"one", [new_packet(0), new_packet(10)])
    database.add_file(tmp_path / "other.db")
    assert (database.count, database.extradata()) == (2, {b"one", b"two"})
    found = list(database.packets(40))
    assert [packet.pts for packet in found] == [0, 10, 20, 30]
    assert [len([*packet.iter_sidedata()]) for packet in found] == [0, 0, 0, 1]


def test_segments_are_copied_into_an_empty_database(
    database: SegmentDatabase, tmp_path: Path
) -> None:
    other = SegmentDatabase(tmp_path / "other.db", new=True)
    other.add(0, b"one", [new_packet(0, side_data=True)])
    other.close()
    database.add_file(tmp_path / "other.db")
    (found,) = database.packets(10)
    assert [bytes(each) for each in found.iter_sidedata()] == [DISPLAY_MATRIX]


def test_a_copy_that_fails_stores_nothing_and_the_next_one_works(
    database: SegmentDatabase, tmp_path: Path
) -> None:
    for number in range(2):
        other = SegmentDatabase(tmp_path / f"{number}.db", new=True)
        other.add(number, b"", [new_packet(10 + number)])
        other.close()
    database.add(0, b"", [new_packet(0)])
    with pytest.raises(sqlite3.IntegrityError):
        database.add_file(tmp_path / "0.db")
    assert (database.count, contents(database)) == (1, [b"frame 0"])
    database.add_file(tmp_path / "1.db")
    assert (database.count, contents(database)) == (2, [b"frame 0", b"frame 11"])


def test_a_database_is_kept_unless_a_new_one_is_requested(tmp_path: Path) -> None:
    path = tmp_path / "segments.db"
    for new, expected in ((True, 0), (False, 1), (True, 0)):
        database = SegmentDatabase(path, new=new)
        assert database.count == expected
        if not database.count:
            database.add(0, b"", [])
        database.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.add(1, b"", [])


def test_segments_can_be_read_in_another_thread_than_they_were_written(
    database: SegmentDatabase,
) -> None:
    thread = Thread(target=database.add, args=(0, b"", [new_packet(0)]))
    thread.start()
    thread.join()
    assert contents(database) == [b"frame 0"]
