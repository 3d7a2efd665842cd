"""Choice of the sources whose clips are held out."""

import pytest

from midframe.data.create import choose_held_out
from midframe.data.create_config import CreateConfig
from midframe.errors import DatasetError


def test_all_clips_of_a_source_are_held_out_together() -> None:
    clips = {f"{name}{index}.mp4": name for name in "abcdef" for index in range(3)}
    for seed in range(5):
        held_out = choose_held_out(clips, CreateConfig(validation_fraction=0.3, seed=seed))
        sources = {clips[clip] for clip in held_out}
        assert held_out == {clip for clip, source in clips.items() if source in sources}
        assert len(sources) == 2
    assert choose_held_out({"a": "x", "b": "x"}, CreateConfig()) == set()


def test_held_out_clips_can_be_chosen_by_name_or_source() -> None:
    clips = {"a/1.mp4": "Blender, Bunny", "a/2.mp4": "Blender, Sintel", "b/1.mp4": "me"}
    assert choose_held_out(clips, CreateConfig(hold_out=("Blender*",))) == {"a/1.mp4", "a/2.mp4"}
    assert choose_held_out(clips, CreateConfig(hold_out=("*/1.mp4",))) == {"a/1.mp4", "b/1.mp4"}
    with pytest.raises(DatasetError, match="'c\\*'"):
        choose_held_out(clips, CreateConfig(hold_out=("Blender*", "c*")))
