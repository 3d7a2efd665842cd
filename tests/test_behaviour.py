"""The script that records behaviour: it finds a change, and none where there is none."""

from pathlib import Path

import behaviour
import pytest


@pytest.mark.slow
def test_a_record_equals_another_of_the_same_state() -> None:
    records = [behaviour.record("cut held") for _ in range(2)]
    assert records[0]["cut held"]["status"] == 0
    assert behaviour.differences(*records) == []


def test_other_samples_and_other_times_are_found(tmp_path: Path) -> None:
    behaviour.write_clip(tmp_path / "a.mp4", frames=3, sound=None)
    behaviour.write_clip(tmp_path / "b.mp4", frames=3, sound=None, cut_at=2)
    behaviour.write_clip(tmp_path / "c.mp4", frames=3, sound=None, times=[0, 1, 3])
    first, scene, late = (behaviour.described(tmp_path / f"{name}.mp4") for name in "abc")
    places = [text.partition(":")[0] for text in behaviour.differences(first, scene)]
    assert places == ["/0/samples"]
    assert "/0/times" in [text.partition(":")[0] for text in behaviour.differences(first, late)]
