"""Transparent pixels where a result has no alpha."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.image_sequences import animation
from helpers.video import Averager, frames_of, render_frame
from PIL import Image

from midframe.media.colour.conversion import Colour, colour_of, from_rgb, plane_samples, to_rgb
from midframe.media.colour.flattening import flatten
from midframe.video.pipeline import interpolate_video

ROWS, COLUMNS = np.mgrid[0:63, 0:95]
OPAQUE = COLUMNS < 40
IMAGE = np.dstack([render_frame(0, 63, 95), np.where(OPAQUE, 255, 0).astype(np.uint8)])


@pytest.mark.parametrize("form", ["yuva420p", "yuva444p10le", "yuva422p"])
def test_transparent_pixels_become_black_and_opaque_ones_are_kept(form: str) -> None:
    colour = Colour(matrix=1, full_range=False, high_bit_depth="10" in form, alpha=True)
    image = IMAGE.astype(np.uint16) * 257 if colour.high_bit_depth else IMAGE
    frame = from_rgb(image, colour, form)
    flat = flatten(frame, colour)
    bits = max(component.bits for component in flat.format.components)
    for before, after in zip(frame.planes, flat.planes, strict=False):
        samples, kept = plane_samples(after, bits), after.width * 36 // 95
        assert np.array_equal(samples[:, :kept], plane_samples(before, bits)[:, :kept])
    assert to_rgb(flat, replace(colour, alpha=False))[:, 42:].max() == 0
    assert flatten(flat, colour) is flat


@pytest.mark.parametrize("form", ["rgba", "bgra", "gbrap"])
def test_transparent_rgb_becomes_black_and_opaque_rgb_is_kept(form: str) -> None:
    frame = av.VideoFrame.from_ndarray(IMAGE, format="rgba").reformat(format=form)
    flat = flatten(frame, colour_of(frame))
    assert flat.format.name == "rgb24"
    assert np.array_equal(flat.to_ndarray(), IMAGE[..., :3] * (IMAGE[..., 3:] // 255))


def test_transparent_grey_becomes_black_and_opaque_grey_is_kept() -> None:
    frame = av.VideoFrame.from_ndarray(IMAGE, format="rgba").reformat(format="ya8")
    grey = plane_samples(frame.planes[0], 16) & 0xFF  # both samples of a pixel
    difference = flatten(frame, colour_of(frame)).to_ndarray() - (grey * OPAQUE)[..., None] * 1.0
    assert np.abs(difference[:, :40]).max() <= 1  # FFmpeg's rounding
    assert not difference[:, 40:].any()


def test_a_transparent_animation_becomes_a_video_on_black(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (64, 48), (255, 255, 255, 0)) for _ in range(4)]
    for number, frame in enumerate(frames):
        frame.paste((255, 0, 0, 255), (10 * number, 8, 10 * number + 16, 24))
    source = animation(tmp_path / "in.gif", frames, duration=100, disposal=2)
    report = interpolate_video(source, tmp_path / "out.mp4", model=Averager())
    assert (report.problems, report.frames_unchanged) == ((), 4)
    assert any(text.startswith("alpha") for text in report.dropped)
    shown = frames_of(tmp_path / "out.mp4")[0]
    assert to_rgb(shown, colour_of(shown))[40:, 40:].max() <= 3
