"""Planes to RGB and back: values by hand, exact inversion, and Halide against PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.media.colour.conversion import BT709, YCGCO, Colour
from midframe.media.pictures.images import Array
from midframe.ops.dispatch import without_compilation
from midframe.video.rgb_planes import halide, planes_to_rgb, reference, rgb_to_planes

CPU = torch.device("cpu")
FORMATS = ((8, 2, 2, False), (10, 2, 1, True), (8, 1, 1, False), (16, 1, 2, False))
"""Bits, luma samples per chroma sample along a row and a column, and alpha."""


def noise(
    bits: int, across: int, down: int, alpha: bool, height: int, width: int, seed: int = 0
) -> list[Array]:
    generator = np.random.default_rng(seed)
    chroma = (-(-height // down), -(-width // across))
    sizes = [(height, width), chroma, chroma] + [(height, width)] * alpha
    dtype = np.uint8 if bits == 8 else np.uint16
    return [generator.integers(0, 2**bits, size).astype(dtype) for size in sizes]


def colour(bits: int, alpha: bool, matrix: int = BT709, full: bool = False) -> Colour:
    return Colour(matrix, full, bits > 8, alpha)


@pytest.mark.parametrize("compiled", [False, True], ids=["reference", "halide"])
def test_black_white_and_red_have_the_codes_of_bt709(compiled: bool) -> None:
    luma, blue, red = (np.array([values], np.uint8) for values in ((16, 235, 63), (128, 128, 102),
                                                                   (128, 128, 240)))  # fmt: skip
    with without_compilation() if not compiled else torch.inference_mode():
        image = planes_to_rgb([luma, blue, red], 8, colour(8, False))
    expected = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]])
    assert (image[0, :, 0].T - expected).abs().max() < 0.01


@pytest.mark.parametrize("compiled", [False, True], ids=["reference", "halide"])
@pytest.mark.parametrize("matrix", [BT709, YCGCO])
def test_an_unchanged_image_is_restored_exactly(matrix: int, compiled: bool) -> None:
    planes = noise(8, 2, 2, False, 17, 31)
    description = colour(8, False, matrix, full=True)
    with without_compilation() if not compiled else torch.inference_mode():
        image = planes_to_rgb(planes, 8, description)
        restored = rgb_to_planes(image, planes, 8, description, [(0, 255)] * 3)
    for before, after in zip(planes, restored, strict=True):
        assert np.array_equal(before, after)


def test_ycgco_has_its_own_weights_in_every_colour() -> None:
    # R = Y - Cg + Co, G = Y + Cg, B = Y - Cg - Co (ISO/IEC 23091-2, matrix coefficients 8)
    planes = [np.array([[code]], np.uint8) for code in (100, 150, 120)]
    image = planes_to_rgb(planes, 8, colour(8, False, YCGCO, full=True))
    y, cg, co = (100 / 255, 22 / 255, -8 / 255)
    expected = torch.tensor([y - cg + co, y + cg, y - cg - co])
    torch.testing.assert_close(image[0, :, 0, 0], expected, atol=1e-6, rtol=0)


def test_values_are_clipped_to_the_limits_of_each_plane() -> None:
    image = torch.tensor([[[[-1.0, 2.0]]] * 3]).reshape(1, 3, 1, 2)
    like = noise(8, 1, 1, False, 1, 2)
    luma, blue, _ = rgb_to_planes(image, like, 8, colour(8, False), [(16, 235), (100, 140), (0, 9)])
    assert luma.tolist() == [[16, 235]]
    assert blue.tolist() == [[128, 128]]


@settings(max_examples=40, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    height=st.integers(1, 20),
    width=st.integers(2, 70),
    full=st.booleans(),
)
def test_halide_equals_the_plain_form(
    form: tuple[int, int, int, bool], height: int, width: int, full: bool
) -> None:
    bits, *_, alpha = form
    planes = noise(*form, height, width)
    description = colour(bits, alpha, full=full)
    assert halide.supports(planes)
    image = reference.planes_to_rgb(planes, bits, description, CPU)
    result = halide.planes_to_rgb(planes, bits, description, CPU)
    torch.testing.assert_close(result, image, atol=1e-5, rtol=0)
    changed = image + 0.1 * torch.rand(image.shape)
    limits = [(3, 2**bits - 4)] * len(planes)
    for before, after in zip(
        reference.rgb_to_planes(changed, planes, bits, description, limits),
        halide.rgb_to_planes(changed, planes, bits, description, limits),
        strict=True,
    ):
        difference = abs(before.astype(int) - after.astype(int))
        assert difference.max() <= 1  # at a tie of rounding
        assert (difference > 0).mean() <= 0.02 or bits == 16


@pytest.mark.parametrize(
    "planes",
    [noise(8, 4, 1, False, 8, 16), noise(8, 2, 2, False, 8, 16)[:1], noise(8, 2, 2, True, 9, 1)],
    ids=["4:1:1", "grey", "one column"],
)
def test_unsupported_planes_use_the_reference(planes: list[Array]) -> None:
    assert not (len(planes) > 1 and halide.supports(planes))
    description = colour(8, len(planes) == 4)
    image = planes_to_rgb(planes, 8, description)
    restored = rgb_to_planes(image, planes, 8, description, [(0, 255)] * len(planes))
    assert all(np.array_equal(*pair) for pair in zip(planes, restored, strict=True))
