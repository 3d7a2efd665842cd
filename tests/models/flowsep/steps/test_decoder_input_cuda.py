"""The decoder's input by Triton equals plain PyTorch, forward and backward; without a GPU by the
interpreter."""

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
"""Of the largest value of a tensor."""
CASES = {
    "one pixel": {"width": 1, "rows": 1, "columns": 1, "radius": 4},
    "one row": {"width": 4, "rows": 1, "columns": 17, "radius": 1},
    "odd size": {"n": 2, "width": 20, "rows": 5, "columns": 19, "radius": 2},
    "carried": {"width": 4, "carried": 3, "rows": 4, "columns": 18, "radius": 2},
    "no correlation": {"n": 2, "width": 8, "carried": 16, "rows": 4, "columns": 34},
    "several chunks": {"width": 80, "rows": 3, "columns": 9, "radius": 4},
    "flows far outside": {
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
    """Return features, carried features if there are any, flow and time; the radius is the
    caller's."""
    generator = torch.Generator().manual_seed(0)
    # One sign a channel: interpolated features do not come near the length 0, which rounding errors
    # are divided by.
    signs = torch.randn(width, 1, 1, generator=generator).sign()
    features = signs * (0.5 + torch.rand(2 * n, width, rows, columns, generator=generator))
    before = (
        [torch.randn(n, carried, rows // 2, columns // 2, generator=generator)] if carried else []
    )
    flow = torch.randn(n, 4, rows, columns, generator=generator) * reach
    # Away from whole numbers, where the gradient of the flow jumps.
    flow = flow.floor() + 0.1 + 0.8 * torch.rand(n, 4, rows, columns, generator=generator)
    return [features, *before, flow, torch.rand(n, 1, 1, 1, generator=generator)]


def arguments(tensors: list[Tensor]) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    features, *before, flow, time = tensors
    return features, before[0] if before else None, flow, time


def assert_near(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    error = (found.cpu().double() - wanted.double()).abs().max()
    assert error <= tolerance * wanted.abs().max().clamp(min=1e-6), (
        f"{error} of {wanted.abs().max()}"
    )


@pytest.mark.parametrize(
    ("case", "kind", "channels_last"),  # each two of them in all combinations
    [
        (case, kind, (row + column) % 2 == 0)
        for row, case in enumerate(CASES)
        for column, kind in enumerate(TOLERANCES)
    ],
)
def test_result_and_gradients_equal_the_plain_ones(
    case: str, kind: torch.dtype, channels_last: bool
) -> None:
    given, radius = CASES[case], CASES[case].get("radius", 0)
    tensors = inputs(**given)
    tensors[:-2] = [each.to(kind) for each in tensors[:-2]]
    exact = [each.clone().float().requires_grad_() for each in tensors]
    if channels_last:
        tensors[:-2] = [each.contiguous(memory_format=torch.channels_last) for each in tensors[:-2]]
    fast = [each.to(DEVICE).requires_grad_() for each in tensors]
    found, wanted = (
        triton.decoder_input(*arguments(fast), radius),
        reference.decoder_input(*arguments(exact), radius),
    )
    assert found.dtype == kind
    assert found.shape == wanted.shape
    assert_near(found, wanted, TOLERANCES[kind])
    outer = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1)).to(kind)
    gradients = torch.autograd.grad(found, fast, outer.to(DEVICE))
    for got, tensor, expected in zip(
        gradients, fast, torch.autograd.grad(wanted, exact, outer.float()), strict=True
    ):
        assert got.dtype == tensor.dtype
        assert_near(got, expected, TOLERANCES[kind])


def test_features_of_hardly_any_length_keep_their_gradient() -> None:
    tensors = inputs(width=4, rows=4, columns=6)
    tensors[0] = tensors[0] * MIN_LENGTH / 10
    fast, exact = (
        [each.clone().to(where).requires_grad_() for each in tensors] for where in (DEVICE, "cpu")
    )
    found, wanted = (
        triton.decoder_input(*arguments(fast), 2),
        reference.decoder_input(*arguments(exact), 2),
    )
    assert_near(found, wanted, 1e-5)
    outer = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    (got,) = torch.autograd.grad(found, fast[:1], outer.to(DEVICE))
    assert_near(got, torch.autograd.grad(wanted, exact[:1], outer)[0], 1e-5)


@pytest.mark.parametrize("multiple", [1, 8])
def test_zeros_are_appended_up_to_a_multiple(multiple: int) -> None:
    tensors = inputs(width=4, carried=3, rows=4, columns=6)
    wanted = reference.decoder_input(*arguments(tensors), 1, multiple=multiple)
    fast = triton.decoder_input(*arguments([each.to(DEVICE) for each in tensors]), 1, multiple)
    channels = 2 * 4 + 9 + 3 + 5
    assert wanted.shape[1] == fast.shape[1] == -(-channels // multiple) * multiple
    assert fast.is_contiguous(memory_format=torch.channels_last)
    assert not wanted[:, channels:].any()
    assert not fast[:, channels:].any()
    assert_near(fast, wanted, 1e-5)


def test_beyond_the_border_features_have_no_gradient_of_the_flow() -> None:
    features, flow, time = inputs(width=4, rows=3, columns=5)
    flow = torch.full_like(flow, -9.5).requires_grad_()
    moved = triton.decoder_input(features.to(DEVICE), None, flow.to(DEVICE), time.to(DEVICE), 0)[
        :, :8
    ]
    assert torch.equal(
        moved.cpu(), torch.cat(features[..., :1, :1].chunk(2), 1).expand(-1, -1, 3, 5)
    )
    (of_flow,) = torch.autograd.grad(moved.sum(), flow)
    assert not of_flow.any()


def test_warping_equals_grid_sample_in_float64() -> None:
    features, flow, time = inputs(n=2, width=4, rows=5, columns=6)
    moved = triton.decoder_input(features.to(DEVICE), None, flow.to(DEVICE), time.to(DEVICE), 0)
    height, width = features.shape[2:]
    x = torch.arange(width, dtype=torch.float64) + flow[:, 0]
    y = torch.arange(height, dtype=torch.float64)[:, None] + flow[:, 1]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    exact = functional.grid_sample(
        features[:2].double(), grid, padding_mode="border", align_corners=False
    )
    assert_near(moved[:, :4], exact, 1e-6)
    assert_near(moved[:, :4], warp(features[:2], flow[:, :2]), 1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_flows_without_end_stay_on_the_frame(value: float) -> None:
    features, flow, time = inputs(width=4, rows=3, columns=20)
    flow[..., 3:7] = value
    fast = [each.to(DEVICE).requires_grad_() for each in (features, flow, time)]
    made = triton.decoder_input(fast[0], None, *fast[1:], 1)
    gradients = torch.autograd.grad(made[:, :17].sum(), fast[:2])
    assert made[:, :17].isfinite().all()
    assert gradients[0].isfinite().all()
