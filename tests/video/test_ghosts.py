from fractions import Fraction

import numpy as np
import pytest
from helpers.video import render_frame

from midframe.media.pictures.images import Array
from midframe.tensors import to_image, to_tensor
from midframe.video import ghosts

HALF = Fraction(1, 2)
HEIGHT, WIDTH = 180, 320


def wall(gain: float = 1, shift: float = 0) -> Array:
    """A static background, or one that becomes brighter or moves."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.sin((columns - shift) / 5) * np.cos(rows / 7)
    grey = gain * (90 + 30 * waves)
    return np.rint(grey).astype(np.uint8)[..., None].repeat(3, axis=2)


def ball(row: int, column: int) -> Array:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside: Array = (rows - row) ** 2 + (columns - column) ** 2 < 6**2
    return inside


def with_ball(row: int, column: int, background: Array | None = None) -> Array:
    image = (wall() if background is None else background).copy()
    image[ball(row, column)] = (230, 60, 40)
    return image


def replace_ghosts(image: Array, before: Array, after: Array, t: Fraction) -> Array:
    frames = [to_tensor(each) for each in (image, before, after)]
    return to_image(ghosts.replace_ghosts(*frames, t), image.dtype)


def blend(before: Array, after: Array, t: Fraction = HALF) -> Array:
    return np.rint(before * float(1 - t) + after * float(t)).astype(before.dtype)


@pytest.mark.parametrize("step", [8, 16, 30])  # touching, beside each other, apart
@pytest.mark.parametrize("t", [Fraction(1, 4), HALF, Fraction(3, 4)])
def test_a_doubled_ball_is_replaced_by_the_nearest_frame(step: int, t: Fraction) -> None:
    before, after = with_ball(80, 100), with_ball(80 + step, 100 + step)
    shown = replace_ghosts(blend(before, after, t), before, after, t)
    assert np.array_equal(shown, before if t <= HALF else after)


def test_the_fainter_copy_of_a_ball_is_replaced_too() -> None:
    before, after = with_ball(80, 100), with_ball(80, 140)
    image = blend(before, after)
    image[ball(80, 140)] = image[ball(80, 140)] * 0.6 + after[ball(80, 140)] * 0.4
    assert np.array_equal(replace_ghosts(image, before, after, HALF), before)


def test_a_correctly_interpolated_ball_is_not_replaced() -> None:
    before, after = with_ball(80, 100), with_ball(100, 120)
    image = with_ball(90, 110)
    assert np.array_equal(replace_ghosts(image, before, after, HALF), image)


def test_a_fade_of_the_whole_frame_is_not_replaced() -> None:
    before, after = wall(1), wall(1.6)
    image = blend(before, after)
    assert np.array_equal(replace_ghosts(image, before, after, HALF), image)


def test_a_ball_before_a_moving_background_is_not_replaced() -> None:
    before, after = with_ball(80, 100), with_ball(90, 120, wall(shift=8))
    image = blend(before, after)
    assert np.array_equal(replace_ghosts(image, before, after, HALF), image)


def test_noise_and_faint_changes_are_not_replaced() -> None:
    noise = np.random.default_rng(1).integers(-4, 5, (2, HEIGHT, WIDTH, 3))
    before, after = (np.clip(wall() + each, 0, 255).astype(np.uint8) for each in noise)
    after[ball(80, 100)] += 8
    image = blend(before, after)
    assert np.array_equal(replace_ghosts(image, before, after, HALF), image)


def test_ghosts_are_found_in_frames_with_alpha() -> None:
    before, after = with_ball(80, 100), with_ball(80, 130)
    clear = [np.dstack([each, np.full((HEIGHT, WIDTH), 99, np.uint8)])
             for each in (blend(before, after), before, after)]  # fmt: skip
    assert np.array_equal(replace_ghosts(*clear, HALF), clear[1])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (33, 47)])
def test_ghosts_are_searched_in_frames_of_any_size(size: tuple[int, int]) -> None:
    before, after = (render_frame(i)[: size[0], : size[1]] for i in (0, 3))
    replace_ghosts(blend(before, after), before, after, HALF)


@pytest.mark.parametrize("shape", [(2, 2), (3, 40), (24, 32)])
def test_the_neighbourhood_of_a_block_ends_at_the_edges_of_the_frame(
    shape: tuple[int, int],
) -> None:
    blocks = np.random.default_rng(0).random(shape) < 0.3
    reach = ghosts.NEIGHBOURHOOD
    for (row, column), fraction in np.ndenumerate(ghosts._fraction_around(blocks)):
        around = blocks[max(0, row - reach) :, max(0, column - reach) :]
        around = around[: row + reach + 1 - max(0, row - reach)]
        around = around[:, : column + reach + 1 - max(0, column - reach)]
        assert fraction == around.mean()
