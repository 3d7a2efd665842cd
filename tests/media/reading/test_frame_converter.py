"""Frames whose colours change in the middle of a source."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video import render_frame

from midframe.media.colour.conversion import Colour, from_rgb, to_rgb
from midframe.media.reading.damage import Damage
from midframe.media.reading.frame_converter import FrameConverter

BT709 = Colour(matrix=1, full_range=False, high_bit_depth=False)
BT601_FULL = replace(BT709, matrix=6, full_range=True)
IMAGE = render_frame(0)


def render(colour: Colour, pts: int = 0, transfer: int = 2, form: str = "yuv444p") -> av.VideoFrame:
    frame = from_rgb(IMAGE, colour, form)
    frame.colorspace, frame.color_range = colour.matrix, colour.range
    frame.color_primaries, frame.color_trc = (2 if transfer == 2 else 9), transfer
    frame.pts, frame.time_base = pts, Fraction(1, 10)
    return frame


def converter_of(first: av.VideoFrame, *, strict: bool = False) -> tuple[FrameConverter, Damage]:
    damage = Damage(Path("in.ts"), strict=strict)
    tags = {"stores_display_matrix": True, "stores_aspect_ratio": True}
    return FrameConverter(first, "", None, Fraction(1, 10), damage, **tags), damage


@pytest.mark.parametrize("form", ["yuv444p", "yuv422p"])
def test_frames_are_converted_to_the_matrix_and_range_of_the_first(form: str) -> None:
    converter, damage = converter_of(render(BT709))
    for pts in range(3, 6):
        converted = converter.convert(render(BT601_FULL, pts, form=form))
        difference = np.abs(to_rgb(converted, converter.colour).astype(int) - IMAGE)
        assert np.percentile(difference, 50 if form == "yuv422p" else 99) <= 4
        assert converted.pts == pts
    assert damage.places == (
        "the colour matrix or range changes, converted to that of the first frame at 0.30 s",
    )
    same = render(BT709, 6)
    assert converter.convert(same) is same


def test_a_changing_transfer_is_reported_and_a_missing_one_is_not() -> None:
    pq, hlg = 16, 18
    converter, damage = converter_of(render(BT709, transfer=pq))
    for pts, transfer in enumerate([pq, 2, pq, hlg, hlg]):
        converter.convert(render(BT709, pts, transfer))
    assert damage.places == (
        "the colour primaries or transfer change, which is not converted at 0.30 s",
    )
