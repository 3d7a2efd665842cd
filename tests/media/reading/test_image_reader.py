from fractions import Fraction
from pathlib import Path

import pytest
from helpers.video import render_frame
from PIL import Image

from midframe.media.reading.sources import open_source
from midframe.options import SourceOptions


@pytest.mark.parametrize("count", [1, 2, 5, 15])
@pytest.mark.parametrize("rate", ["12", "24", "23.976", "60"])
def test_an_image_sequence_has_exactly_the_given_rate(
    tmp_path: Path, count: int, rate: str
) -> None:
    for number in range(count):
        Image.fromarray(render_frame(number)).save(tmp_path / f"{number}.png")
    exact = Fraction(24000, 1001) if rate == "23.976" else Fraction(rate)
    with open_source(tmp_path, SourceOptions(source_fps=rate)) as source:
        assert (source.rate, source.source_rate.anchor) == (exact, 0)
        assert source.source_rate.regular
        times = [frame.pts * source.time_base for frame in source.read()]
        assert times == [number / exact for number in range(count)]
        assert source.end == count / exact
