"""A short run of `fuzz.py`; docs/reliability.md tells of a long one."""

import pytest
from fuzz import KEPT, fuzz

FINE = {"whole", "refused", KEPT, "told that the result lacks something"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_films_are_told_of_and_leave_nothing_half_done() -> None:
    found = fuzz(150, seed=1)
    assert set(found) <= FINE, found
    assert found["refused"] > 10
    assert found["whole"] > 10


@pytest.mark.slow
def test_damaged_sound_and_text_end_in_a_result_or_a_clear_error() -> None:
    found = fuzz(12, seed=5, sound=True)
    assert set(found) <= FINE, found
    assert found["whole"] > 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_sound_and_text_of_many_codecs_end_in_a_result_or_a_clear_error() -> None:
    found = fuzz(200, seed=6, sound=True)
    assert set(found) <= FINE, found
    assert found["whole"] > 100
