"""Resampling at fractional positions: weights, their derivatives, and shifted kernels."""

import pytest
import torch

from midframe.ops.resampling import (
    EXTRA_TAPS,
    RESAMPLINGS,
    check_resampling,
    interpolation_weight,
    shift_kernel,
    shift_kernel_gradients,
    shift_weight_slopes,
    shift_weights,
    taps_before,
)

FRACTIONS = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64)


def test_linear_weights_are_proportional_to_proximity() -> None:
    assert shift_weights(0.25, "linear") == (0.75, 0.25)
    assert (EXTRA_TAPS["linear"], taps_before("linear")) == (1, 0)


def test_cubic_weights_at_one_half_are_those_of_catmull_rom() -> None:
    assert shift_weights(0.5, "cubic") == (-0.0625, 0.5625, 0.5625, -0.0625)
    assert (EXTRA_TAPS["cubic"], taps_before("cubic")) == (3, 1)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_weights_sum_to_one_and_are_symmetric(resampling: str) -> None:
    weights = torch.stack(shift_weights(FRACTIONS, resampling))
    torch.testing.assert_close(weights.sum(0), torch.ones_like(FRACTIONS))
    mirrored = torch.stack(shift_weights(1 - FRACTIONS, resampling))
    torch.testing.assert_close(weights.flip(0), mirrored)


@pytest.mark.parametrize(("resampling", "power"), [("linear", 1), ("cubic", 2)])
def test_polynomials_are_interpolated_exactly(resampling: str, power: int) -> None:
    weights = torch.stack(shift_weights(FRACTIONS, resampling))
    positions = torch.arange(len(weights), dtype=torch.float64) - taps_before(resampling)
    torch.testing.assert_close(positions**power @ weights, FRACTIONS**power)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_slopes_are_the_derivatives_of_the_weights(resampling: str) -> None:
    fractions = FRACTIONS.clone().requires_grad_()
    slopes = shift_weight_slopes(FRACTIONS, resampling)
    for weight, slope in zip(shift_weights(fractions, resampling), slopes, strict=True):
        (expected,) = torch.autograd.grad(weight.sum(), fractions)
        torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_interpolation_weights_equal_shift_weights_by_distance(resampling: str) -> None:
    weights = shift_weights(FRACTIONS, resampling)
    for offset, weight in enumerate(weights, -taps_before(resampling)):
        torch.testing.assert_close(interpolation_weight(FRACTIONS - offset, resampling), weight)
    far = torch.tensor([-3.0, -2.0, 2.0, 2.5])
    assert interpolation_weight(far, resampling).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_kernels_are_shifted_by_the_fraction_of_each_pixel(resampling: str) -> None:
    kernel = torch.randn(2, 3, 1, 2, dtype=torch.float64)
    fraction = torch.rand(2, 1, 2, dtype=torch.float64)
    shifted = shift_kernel(kernel, fraction, resampling)
    assert shifted.shape == (2, 3 + EXTRA_TAPS[resampling], 1, 2)
    for n, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weights = torch.stack(shift_weights(fraction[n, 0, x], resampling))
        expected = torch.zeros(len(weights) + 2, dtype=torch.float64)
        for tap in range(3):
            expected[tap : tap + len(weights)] += kernel[n, tap, 0, x] * weights
        torch.testing.assert_close(shifted[n, :, 0, x], expected)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_gradients_of_shifted_kernels_equal_those_of_autograd(resampling: str) -> None:
    kernel = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    fraction = torch.rand(2, 2, 2, dtype=torch.float64, requires_grad=True)
    shifted = shift_kernel(kernel, fraction, resampling)
    gradient = torch.randn_like(shifted)
    expected = torch.autograd.grad(shifted, (fraction, kernel), gradient)
    with torch.no_grad():
        gradients = shift_kernel_gradients(gradient, kernel, fraction, resampling)
    torch.testing.assert_close(gradients, expected)


def test_an_unknown_resampling_is_refused_with_the_allowed_ones() -> None:
    for resampling in RESAMPLINGS:
        check_resampling(resampling)
    with pytest.raises(ValueError, match=r"resampling is 'sinc': choose from linear, cubic$"):
        check_resampling("sinc")
