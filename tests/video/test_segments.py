"""Segments: where they end, and the times in them."""

import random
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from helpers.resuming import Render
from helpers.video import Averager, frames_of
from hypothesis import given
from hypothesis import strategies as st

from midframe.video.pipeline import interpolate_video
from midframe.video.plan import LONG_SEGMENT
from midframe.video.segment_database import decoding_times


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


def test_segments_end_at_cuts_and_after_a_while(render_video: Render, tmp_path: Path) -> None:
    source, target = render_video(frames=400, cut_at=50, sound=False), tmp_path / "out.mkv"
    interpolate_video(
        source,
        target,
        model=Averager(),
        encoder_options={"x264-params": "keyint=infinite:scenecut=0"},
    )
    keys = [n for n, frame in enumerate(frames_of(target)) if frame.key_frame]
    assert keys == [0, 100, 100 + LONG_SEGMENT, 100 + 2 * LONG_SEGMENT]


def test_times_of_a_slow_film_are_exact_across_segments(
    render_video: Render, tmp_path: Path
) -> None:
    source, target = render_video(frames=30, rate=Fraction(30000, 1001)), tmp_path / "out.mp4"
    report = interpolate_video(source, target, model=Averager(), slow=16)
    shown = [frame.pts * frame.time_base for frame in frames_of(target)]
    assert report.problems == ()
    assert shown == [Fraction(1001, 30000) * n for n in range(480)]
