"""The script that records results: it detects changes, and reports none between equal results."""

from pathlib import Path

import behaviour
import pytest


@pytest.mark.slow
def test_two_records_of_the_same_code_are_equal() -> None:
    records = [behaviour.record("cut held") for _ in range(2)]
    assert records[0]["cut held"]["status"] == 0
    assert behaviour.differences(*records) == []


def test_differences_in_samples_and_times_are_listed(tmp_path: Path) -> None:
    behaviour.write_clip(tmp_path / "a.mp4", frames=3, sound=None)
    behaviour.write_clip(tmp_path / "b.mp4", frames=3, sound=None, cut_at=2)
    behaviour.write_clip(tmp_path / "c.mp4", frames=3, sound=None, times=[0, 1, 3])
    first, scene, late = (behaviour.describe_file(tmp_path / f"{name}.mp4") for name in "abc")
    paths = [text.partition(":")[0] for text in behaviour.differences(first, scene)]
    assert paths == ["/0/samples"]
    assert "/0/times" in [text.partition(":")[0] for text in behaviour.differences(first, late)]
