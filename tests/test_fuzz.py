"""A short run of `fuzz.py`; docs/reliability.md describes long runs."""

import pytest
from fuzz import KEPT, fuzz

ACCEPTED = {"complete", "refused", KEPT, "complete, with reported problems"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_videos_give_a_result_or_a_clear_error_and_no_unfinished_files() -> None:
    outcomes = fuzz(150, seed=1)
    assert set(outcomes) <= ACCEPTED, outcomes
    assert outcomes["refused"] > 10
    assert outcomes["complete"] > 10


@pytest.mark.slow
def test_damaged_sound_and_subtitles_give_a_result_or_a_clear_error() -> None:
    outcomes = fuzz(12, seed=5, sound=True)
    assert set(outcomes) <= ACCEPTED, outcomes
    assert outcomes["complete"] > 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_sound_and_subtitles_of_many_codecs_give_a_result_or_a_clear_error() -> None:
    outcomes = fuzz(200, seed=6, sound=True)
    assert set(outcomes) <= ACCEPTED, outcomes
    assert outcomes["complete"] > 100
