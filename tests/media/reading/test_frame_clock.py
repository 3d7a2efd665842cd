"""Timestamps of decoded frames increase, whatever the file states."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from midframe.media.reading.frame_clock import FrameClock


@dataclass
class Stamped:
    """A stand-in for a decoded frame."""

    pts: int | None
    dts: int | None = None
    duration: int = 0


def times(clock: FrameClock, frames: list[Any]) -> list[int | Fraction]:
    return [pts for _, pts, _ in clock.spread(frames)]


def test_frames_keep_their_own_times() -> None:
    clock = FrameClock(0, 10, uses_dts=False, ignores_pts=False)
    assert times(clock, [Stamped(pts) for pts in (0, 7, 21)]) == [0, 7, 21]


def test_frames_with_equal_times_are_spread_up_to_the_next() -> None:
    clock = FrameClock(0, 10, uses_dts=False, ignores_pts=False)
    assert times(clock, [Stamped(pts) for pts in (0, 0, 0, 30)]) == [0, 10, 20, 30]


def test_a_frame_without_a_time_follows_the_one_before_by_its_duration() -> None:
    clock = FrameClock(5, 10, uses_dts=False, ignores_pts=False)
    assert times(clock, [Stamped(None), Stamped(None), Stamped(40, duration=4), Stamped(None)]) == [
        5,
        15,
        40,
        44,
    ]


def test_counted_frames_are_shown_in_decoding_order() -> None:
    clock = FrameClock(100, 1, uses_dts=True, ignores_pts=False)
    assert times(clock, [Stamped(9, dts=3), Stamped(4, dts=4), Stamped(0, dts=5)]) == [
        100,
        101,
        102,
    ]


def test_useless_timestamps_are_replaced_by_equal_steps() -> None:
    clock = FrameClock(0, 10, uses_dts=False, ignores_pts=True)
    assert times(clock, [Stamped(3, duration=99)] * 3) == [0, 10, 20]


@given(st.lists(st.one_of(st.none(), st.integers(0, 500)), min_size=1, max_size=40))
def test_every_frame_is_kept_and_times_increase(stamps: list[int | None]) -> None:
    clock = FrameClock(0, 10, uses_dts=False, ignores_pts=False)
    found = times(clock, [Stamped(pts) for pts in stamps])
    assert len(found) == len(stamps)
    assert all(before < after for before, after in pairwise(found))
