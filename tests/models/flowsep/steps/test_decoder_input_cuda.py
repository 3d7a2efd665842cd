"""The decoder input: the Triton implementation equals the reference, forward and backward; without
a GPU Triton's interpreter runs it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps.decoder_input import reference, triton
from midframe.models.flowsep.steps.decoder_input.reference import MIN_LENGTH
from midframe.ops.warping import warp

pytestmark = pytest.mark.slow

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCES = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Relative to the largest value of a tensor."""
CASES = {
    "one pixel": {"width": 1, "rows": 1, "columns": 1, "radius": 4},
    "one row": {"width": 4, "rows": 1, "columns": 17, "radius": 1},
    "odd size": {"n": 2, "width": 20, "rows": 5, "columns": 19, "radius": 2},
    "carried": {"width": 4, "carried": 3, "rows": 4, "columns": 18, "radius": 2},
    "no correlation": {"n": 2, "width": 8, "carried": 16, "rows": 4, "columns": 34},
    "several chunks": {"width": 80, "rows": 3, "columns": 9, "radius": 4},
    "flows far out of the frame": {
        "width": 16,
        "carried": 8,
        "rows": 6,
        "columns": 18,
        "radius": 3,
        "reach": 40.0,
    },
    "one coarse pixel": {"width": 16, "carried": 5, "rows": 2, "columns": 2, "radius": 1},
}


def inputs(
    n: int = 1,
    width: int = 4,
    carried: int = 0,
    rows: int = 4,
    columns: int = 4,
    radius: int = 0,
    reach: float = 3.0,
) -> list[Tensor]:
    """Return features, carried features if any, flow and time; `radius` is for the caller."""
    generator = torch.Generator().manual_seed(0)
    # One sign a channel: interpolated features do not come near the length 0, by which rounding
    # errors would be divided.
    signs = torch.randn(width, 1, 1, generator=generator).sign()
    features = signs * (0.5 + torch.rand(2 * n, width, rows, columns, generator=generator))
    before = (
        [torch.randn(n, carried, rows // 2, columns // 2, generator=generator)] if carried else []
    )
    flow = torch.randn(n, 4, rows, columns, generator=generator) * reach
    # Not near integers, where the gradient of the flow is discontinuous.
    flow = flow.floor() + 0.1 + 0.8 * torch.rand(n, 4, rows, columns, generator=generator)
    return [features, *before, flow, torch.rand(n, 1, 1, 1, generator=generator)]


def arguments(tensors: list[Tensor]) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    features, *before, flow, time = tensors
    return features, before[0] if before else None, flow, time


def assert_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    error = (actual.cpu().double() - expected.double()).abs().max()
    assert error <= tolerance * expected.abs().max().clamp(min=1e-6), (
        f"{error} of {expected.abs().max()}"
    )


@pytest.mark.parametrize(
    ("case", "dtype", "channels_last"),  # all pairs of two of them
    [
        (case, dtype, (row + column) % 2 == 0)
        for row, case in enumerate(CASES)
        for column, dtype in enumerate(TOLERANCES)
    ],
)
def test_output_and_gradients_equal_the_reference(
    case: str, dtype: torch.dtype, channels_last: bool
) -> None:
    sizes, radius = CASES[case], CASES[case].get("radius", 0)
    tensors = inputs(**sizes)
    tensors[:-2] = [each.to(dtype) for each in tensors[:-2]]
    exact = [each.clone().float().requires_grad_() for each in tensors]
    if channels_last:
        tensors[:-2] = [each.contiguous(memory_format=torch.channels_last) for each in tensors[:-2]]
    fast = [each.to(DEVICE).requires_grad_() for each in tensors]
    output, expected = (
        triton.decoder_input(*arguments(fast), radius),
        reference.decoder_input(*arguments(exact), radius),
    )
    assert output.dtype == dtype
    assert output.shape == expected.shape
    assert_near(output, expected, TOLERANCES[dtype])
    outer = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    gradients = torch.autograd.grad(output, fast, outer.to(DEVICE))
    for gradient, tensor, expected_gradient in zip(
        gradients, fast, torch.autograd.grad(expected, exact, outer.float()), strict=True
    ):
        assert gradient.dtype == tensor.dtype
        assert_near(gradient, expected_gradient, TOLERANCES[dtype])


def test_features_shorter_than_the_minimum_length_keep_their_gradient() -> None:
    tensors = inputs(width=4, rows=4, columns=6)
    tensors[0] = tensors[0] * MIN_LENGTH / 10
    fast, exact = (
        [each.clone().to(where).requires_grad_() for each in tensors] for where in (DEVICE, "cpu")
    )
    output, expected = (
        triton.decoder_input(*arguments(fast), 2),
        reference.decoder_input(*arguments(exact), 2),
    )
    assert_near(output, expected, 1e-5)
    outer = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(output, fast[:1], outer.to(DEVICE))
    assert_near(gradient, torch.autograd.grad(expected, exact[:1], outer)[0], 1e-5)


@pytest.mark.parametrize("multiple", [1, 8])
def test_zeros_are_appended_up_to_a_multiple(multiple: int) -> None:
    tensors = inputs(width=4, carried=3, rows=4, columns=6)
    expected = reference.decoder_input(*arguments(tensors), 1, multiple=multiple)
    fast = triton.decoder_input(*arguments([each.to(DEVICE) for each in tensors]), 1, multiple)
    channels = 2 * 4 + 9 + 3 + 5
    assert expected.shape[1] == fast.shape[1] == -(-channels // multiple) * multiple
    assert fast.is_contiguous(memory_format=torch.channels_last)
    assert not expected[:, channels:].any()
    assert not fast[:, channels:].any()
    assert_near(fast, expected, 1e-5)


def test_flows_beyond_the_border_get_no_gradient() -> None:
    features, flow, time = inputs(width=4, rows=3, columns=5)
    flow = torch.full_like(flow, -9.5).requires_grad_()
    warped = triton.decoder_input(features.to(DEVICE), None, flow.to(DEVICE), time.to(DEVICE), 0)[
        :, :8
    ]
    assert torch.equal(
        warped.cpu(), torch.cat(features[..., :1, :1].chunk(2), 1).expand(-1, -1, 3, 5)
    )
    (flow_gradient,) = torch.autograd.grad(warped.sum(), flow)
    assert not flow_gradient.any()


def test_warping_equals_grid_sample_in_float64() -> None:
    features, flow, time = inputs(n=2, width=4, rows=5, columns=6)
    warped = triton.decoder_input(features.to(DEVICE), None, flow.to(DEVICE), time.to(DEVICE), 0)
    height, width = features.shape[2:]
    x = torch.arange(width, dtype=torch.float64) + flow[:, 0]
    y = torch.arange(height, dtype=torch.float64)[:, None] + flow[:, 1]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    exact = functional.grid_sample(
        features[:2].double(), grid, padding_mode="border", align_corners=False
    )
    assert_near(warped[:, :4], exact, 1e-6)
    assert_near(warped[:, :4], warp(features[:2], flow[:, :2]), 1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_flows_that_are_not_finite_give_finite_features_and_gradients(value: float) -> None:
    features, flow, time = inputs(width=4, rows=3, columns=20)
    flow[..., 3:7] = value
    fast = [each.to(DEVICE).requires_grad_() for each in (features, flow, time)]
    output = triton.decoder_input(fast[0], None, *fast[1:], 1)
    gradients = torch.autograd.grad(output[:, :17].sum(), fast[:2])
    assert output[:, :17].isfinite().all()
    assert gradients[0].isfinite().all()
