from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from midframe.video.timeline import FACTORS, finer_time_base, held_times, times_between


@given(before=st.integers(-(10**9), 10**9), gap=st.integers(1, 10**6), factor=st.sampled_from(FACTORS))
def test_made_frames_lie_evenly_and_exactly_between(before: int, gap: int, factor: int) -> None:
    base = Fraction(1, 24000)
    found = list(times_between(before, before + gap, factor))
    assert len(found) == factor - 1
    for pts, time in found:
        assert pts * finer_time_base(base, factor) == (before + time * gap) * base


@given(count=st.integers(1, 50), duration=st.integers(1, 5000), factor=st.sampled_from(FACTORS))
def test_all_frames_together_last_as_long_as_before(count: int, duration: int, factor: int) -> None:
    source = [index * duration for index in range(count)]
    shown = [pts * factor for pts in source]
    for before, after in pairwise(source):
        shown += [pts for pts, _ in times_between(before, after, factor)]
    shown += list(held_times(source[-1], duration, factor))
    assert sorted(shown) == [index * duration for index in range(count * factor)]
