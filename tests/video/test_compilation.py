"""Compilation of a video's pipelines before its first frame."""

from fractions import Fraction

import av
import pytest

from midframe.media.colour.conversion import colour_of
from midframe.ops.halide_tools import Pipeline
from midframe.video.block_differences import change
from midframe.video.compilation import compile_pipelines
from midframe.video.samples import Samples, interpolated_frame


@pytest.mark.parametrize("form", ["yuv420p", "gray", "rgb24"])
def test_all_pipelines_of_a_video_are_compiled_before_its_first_frame(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Pipeline] = []
    call = Pipeline.__call__

    def noted(self: Pipeline, *values: object) -> None:
        called.append(self)
        call(self, *values)

    monkeypatch.setattr(Pipeline, "__call__", noted)
    picture = av.VideoFrame(96, 80, form)
    colour = colour_of(picture)
    compile_pipelines(picture, colour)
    compiled = set(map(id, called))
    called.clear()
    samples = Samples(picture, colour)
    image = samples.tensor()
    interpolated_frame(image, samples, samples, Fraction(1, 2))
    change(image, image, 2)
    assert {id(each) for each in called} == compiled
