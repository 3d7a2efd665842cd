"""Flow propagation by Triton equals plain PyTorch, forward and backward; without a GPU by the
interpreter."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps.propagation import dominant_motions_triton, reference, triton
from midframe.models.flowsep.steps.propagation.comparison import standardise
from midframe.models.flowsep.steps.propagation.dominant_motions import (
    NO_MOTION,
    choose_motions,
    motion_differences,
)
from midframe.models.flowsep.steps.propagation.reference import CANDIDATES, candidate_differences
from midframe.ops.upsampling import upsample

pytestmark = pytest.mark.slow

HALF = torch.full((1, 1, 1, 1), 0.5)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = [(1, 1, 1, 1), (1, 3, 7, 19), (2, 3, 12, 16), (1, 4, 3, 130)]


def inputs(
    samples: int, channels: int, rows: int, columns: int, reach: float = 3.0
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, samples, channels, rows, columns, generator=generator)
    return first, second, torch.randn(samples, 4, rows, columns, generator=generator) * reach


@pytest.mark.parametrize(
    ("size", "step", "kind"),  # each two of them in all combinations
    [
        (size, (1, 4)[(row + column) % 2], kind)
        for row, size in enumerate(SIZES)
        for column, kind in enumerate((torch.float32, torch.float16, torch.bfloat16))
    ],
)
def test_choices_are_as_good_as_the_plain_ones(
    size: tuple[int, ...], step: int, kind: torch.dtype
) -> None:
    first, second, flow = inputs(*size, reach=30.0 if step == 4 else 3.0)
    first, second = (
        each.to(kind).contiguous(memory_format=torch.channels_last) for each in (first, second)
    )
    taken = triton.choose_candidates(
        first.to(DEVICE), second.to(DEVICE), flow.to(DEVICE), step
    ).cpu()
    apart = candidate_differences(
        standardise(first.float()), standardise(second.float()), flow, step
    )
    # Where two candidates differ by less than rounding errors, either is right.
    torch.testing.assert_close(
        apart.gather(1, taken.long()[:, None])[:, 0], apart.amin(1), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("size", SIZES)
def test_flows_and_their_gradients_equal_the_plain_ones(size: tuple[int, ...]) -> None:
    first, second, flow = inputs(*size)
    fast = flow.to(DEVICE).requires_grad_()
    found = triton.propagate_flow(
        first.to(DEVICE), second.to(DEVICE), fast, HALF.to(DEVICE), 4, dominant_motions=0
    )
    taken = triton.choose_candidates(first.to(DEVICE), second.to(DEVICE), fast, 4).cpu().long()
    exact = flow.double().requires_grad_()
    _, _, height, width = flow.shape
    steps = torch.tensor(CANDIDATES)[taken] * 4  # (N, h, w, 2)
    rows = (torch.arange(height)[:, None] + steps[..., 0]).clamp(0, height - 1)
    columns = (torch.arange(width) + steps[..., 1]).clamp(0, width - 1)
    places = (rows * width + columns).flatten(1)[:, None].expand(-1, 4, -1)
    moved = exact.flatten(2).gather(2, places).view_as(exact)
    wanted = functional.avg_pool2d(moved, 3, stride=1, padding=1, count_include_pad=False)
    torch.testing.assert_close(found.cpu().double(), wanted, atol=1e-5, rtol=1e-5)
    outer = torch.randn(flow.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(found, fast, outer.to(DEVICE))
    (expected,) = torch.autograd.grad(wanted, exact, outer.double())
    torch.testing.assert_close(gradient.cpu().double(), expected, atol=1e-5, rtol=1e-5)


def test_where_nothing_is_seen_all_keep_their_own() -> None:
    black, flow = torch.zeros(1, 3, 8, 9, device=DEVICE), inputs(1, 3, 8, 9)[2].to(DEVICE)
    assert not triton.choose_candidates(black, black, flow, 4).any()


def test_flows_without_end_choose_one_of_the_candidates() -> None:
    first, second, flow = inputs(1, 3, 8, 40)
    for left, value in ((0, float("nan")), (14, float("inf")), (28, 1e30)):
        flow[..., 3:5, left : left + 10] = value
    taken = triton.choose_candidates(first.to(DEVICE), second.to(DEVICE), flow.to(DEVICE), 4)
    assert ((taken >= 0) & (taken < len(CANDIDATES))).all()


@pytest.mark.parametrize("dominant_motions", [0, 2])
def test_most_flows_are_those_of_the_plain_form(dominant_motions: int) -> None:
    given = *inputs(1, 3, 12, 16), HALF
    wanted = reference.propagate_flow(*given, 2, dominant_motions)
    found = triton.propagate_flow(*(each.to(DEVICE) for each in given), 2, dominant_motions).cpu()
    assert ((found - wanted).abs().amax(1) < 1e-4).float().mean() > 0.9


@pytest.mark.parametrize("size", [(1, 3, 1, 1), (2, 3, 9, 40), (1, 4, 24, 32)])
@pytest.mark.parametrize("time", [0.0, 0.3, 0.5])
def test_motions_are_chosen_as_by_the_plain_form(size: tuple[int, ...], time: float) -> None:
    samples, channels, rows, columns = size
    noise = torch.rand(samples, channels, rows // 4 + 2, columns // 4 + 3)
    scene = upsample(noise, 4)
    first = standardise(scene[..., :rows, 3 : 3 + columns])
    second = standardise(scene[..., :rows, :columns])
    flow = 2 * torch.randn(samples, 4, rows, columns)
    motions = torch.tensor([[(2.6, -0.5), (0.5, 0.0), (40.0, 0.0), (NO_MOTION, NO_MOTION)]])
    t = torch.full((samples, 1, 1, 1), time)
    given = first, second, flow, motions.expand(samples, -1, -1), t
    chosen = dominant_motions_triton.choose_motions(*(each.to(DEVICE) for each in given)).cpu()
    differences = motion_differences(*given)
    # Where two differ by less than rounding errors, either is right.
    least = differences.gather(1, chosen.long()[:, None])[:, 0]
    torch.testing.assert_close(least, differences.amin(1), atol=1e-4, rtol=0)


@pytest.mark.filterwarnings("ignore:invalid value")  # the interpreter subtracts by NumPy
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_flows_that_are_not_finite_choose_no_motion_elsewhere(value: float) -> None:
    first, second, flow = inputs(1, 3, 8, 40)
    flow = torch.zeros_like(flow)
    flow[..., 3:5, 7:30] = value
    given = standardise(first), standardise(second), flow, torch.tensor([[[3.0, 0.0]]]), HALF
    wanted = choose_motions(*given)
    found = dominant_motions_triton.choose_motions(*(each.to(DEVICE) for each in given)).cpu()
    assert torch.equal(found[:, :3].long(), wanted[:, :3])


def test_faint_colours_weigh_as_in_the_plain_form_beside_dominant_motions() -> None:
    first, second, flow = inputs(1, 3, 12, 16)
    contrast = torch.tensor([1.0, 0.002, 0.002]).view(1, 3, 1, 1)  # two below `MIN_DEVIATION`
    given = first * contrast, second * contrast, flow, HALF
    wanted = reference.propagate_flow(*given, 2, 1)
    found = triton.propagate_flow(*(each.to(DEVICE) for each in given), 2, 1).cpu()
    assert ((found - wanted).abs().amax(1) < 1e-4).float().mean() > 0.9
