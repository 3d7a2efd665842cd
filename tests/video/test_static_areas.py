from fractions import Fraction

import numpy as np
import pytest
from helpers.video import render_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.media.pictures.images import Array
from midframe.video.static_areas import halide, keep_static, reference

HALF = Fraction(1, 2)


def text(seed: int = 0) -> Array:
    """Dark strokes on white."""
    strokes = np.random.default_rng(seed).integers(0, 2, (32, 40)).repeat(2, 0).repeat(3, 1)
    return (255 - 200 * strokes).astype(np.uint8)


def noisy(image: Array, seed: int, most: int = 3) -> Array:
    noise = np.random.default_rng(seed).integers(-most, most + 1, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def glide(by: float, contrast: float = 60) -> Array:
    rows, columns = np.mgrid[0:64, 0:96].astype(np.float32)
    return np.rint(128 + contrast * np.sin((columns - by) / 3) * np.cos(rows / 3)).astype(np.uint8)


def test_static_text_is_not_distorted() -> None:
    before, after = noisy(text(), 1), noisy(text(), 2)
    distorted = (text() * 0.8 + np.roll(text(), 1, axis=1) * 0.2).astype(np.uint8)
    kept = keep_static(distorted, before, after, HALF, 8)
    assert abs(distorted.astype(int) - text()).max() > 30
    assert abs(kept.astype(int) - (before / 2 + after / 2)).max() <= 1


@pytest.mark.parametrize("contrast", [60, 3])
def test_faint_moving_textures_are_interpolated(contrast: float) -> None:
    interpolated = np.roll(glide(0, contrast), 4, axis=1)  # where it is not, to tell both apart
    kept = keep_static(interpolated, glide(0, contrast), glide(1, contrast), HALF, 8)
    assert (kept == interpolated).mean() > 0.95


def test_objects_that_pass_between_two_frames_are_interpolated() -> None:
    wall = glide(0, 20)
    rows, columns = np.mgrid[0:64, 0:96]
    ball = (rows - 30) ** 2 + (columns - 50) ** 2 < 6**2
    interpolated = wall.copy()
    interpolated[ball] = 250
    kept = keep_static(interpolated, wall, wall, HALF, 8)
    assert abs(kept[ball].astype(int) - 250).mean() < 10
    assert np.array_equal(kept[:16], wall[:16])


def test_equal_frames_are_copied() -> None:
    image = render_frame(0)
    assert np.array_equal(keep_static(noisy(image, 1, 2), image, image, HALF, 8), image)


def test_samples_of_high_bit_depth_give_the_same_areas() -> None:
    frames = np.roll(text(), 1, axis=1) // 4 + text() // 4 * 3, noisy(text(), 1), noisy(text(), 2)
    eight = keep_static(*frames, Fraction(1, 4), 8)
    ten = keep_static(*(frame.astype(np.uint16) * 4 for frame in frames), Fraction(1, 4), 10)
    assert abs(ten / 4 - eight).max() <= 0.5


def test_frames_of_any_size_are_accepted() -> None:
    for shape in ((1, 1), (3, 5), (17, 31), (17, 31, 3), (18, 30, 4)):
        frame = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        assert np.array_equal(keep_static(frame, frame, frame, HALF, 8), frame)


@settings(max_examples=40, deadline=None)
@given(
    bits=st.sampled_from([8, 10]),
    height=st.integers(1, 40),
    width=st.integers(1, 90),
    t=st.fractions(0, 1, max_denominator=60),
    seed=st.integers(0, 9),
)
def test_halide_equals_the_plain_form(
    bits: int, height: int, width: int, t: Fraction, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    texture = 128 + 60 * np.sin(columns / 3) * np.cos(rows / 5)
    moved = np.where((columns // 16 + rows // 16) % 2, np.roll(texture, 2, 1), texture)
    step = 1 << (bits - 8)
    before, after, interpolated = (
        (step * (image + generator.integers(-most, most + 1, image.shape)))
        .clip(0, 2**bits - 1)
        .astype(np.uint8 if bits == 8 else np.uint16)
        for image, most in ((texture, 2), (moved, 2), (texture, 5))
    )
    expected = reference.keep_static(interpolated, before, after, t, bits).astype(int)
    difference = abs(halide.keep_static(interpolated, before, after, t, bits) - expected)
    assert difference.max() <= step  # where a weight is at a tie of rounding
    assert (difference > 0).mean() < 0.01
