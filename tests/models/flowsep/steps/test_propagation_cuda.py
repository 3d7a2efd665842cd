"""Flow propagation: the Triton implementation equals the reference, forward and backward; without a
GPU Triton's interpreter runs it."""

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
    ("size", "step", "dtype"),  # all pairs of two of them
    [
        (size, (1, 4)[(row + column) % 2], dtype)
        for row, size in enumerate(SIZES)
        for column, dtype in enumerate((torch.float32, torch.float16, torch.bfloat16))
    ],
)
def test_chosen_candidates_are_as_good_as_those_of_the_reference(
    size: tuple[int, ...], step: int, dtype: torch.dtype
) -> None:
    first, second, flow = inputs(*size, reach=30.0 if step == 4 else 3.0)
    first, second = (
        each.to(dtype).contiguous(memory_format=torch.channels_last) for each in (first, second)
    )
    chosen = triton.choose_candidates(
        first.to(DEVICE), second.to(DEVICE), flow.to(DEVICE), step
    ).cpu()
    differences = candidate_differences(
        standardise(first.float()), standardise(second.float()), flow, step
    )
    # If two differences are equal within rounding errors, either candidate is right.
    torch.testing.assert_close(
        differences.gather(1, chosen.long()[:, None])[:, 0],
        differences.amin(1),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("size", SIZES)
def test_flows_and_their_gradients_equal_the_reference(size: tuple[int, ...]) -> None:
    first, second, flow = inputs(*size)
    fast = flow.to(DEVICE).requires_grad_()
    output = triton.propagate_flow(
        first.to(DEVICE), second.to(DEVICE), fast, HALF.to(DEVICE), 4, dominant_motions=0
    )
    chosen = triton.choose_candidates(first.to(DEVICE), second.to(DEVICE), fast, 4).cpu().long()
    exact = flow.double().requires_grad_()
    _, _, height, width = flow.shape
    steps = torch.tensor(CANDIDATES)[chosen] * 4  # (N, h, w, 2)
    rows = (torch.arange(height)[:, None] + steps[..., 0]).clamp(0, height - 1)
    columns = (torch.arange(width) + steps[..., 1]).clamp(0, width - 1)
    positions = (rows * width + columns).flatten(1)[:, None].expand(-1, 4, -1)
    gathered = exact.flatten(2).gather(2, positions).view_as(exact)
    expected_output = functional.avg_pool2d(
        gathered, 3, stride=1, padding=1, count_include_pad=False
    )
    torch.testing.assert_close(output.cpu().double(), expected_output, atol=1e-5, rtol=1e-5)
    outer = torch.randn(flow.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(output, fast, outer.to(DEVICE))
    (expected,) = torch.autograd.grad(expected_output, exact, outer.double())
    torch.testing.assert_close(gradient.cpu().double(), expected, atol=1e-5, rtol=1e-5)


def test_in_black_frames_all_pixels_keep_their_flow() -> None:
    black, flow = torch.zeros(1, 3, 8, 9, device=DEVICE), inputs(1, 3, 8, 9)[2].to(DEVICE)
    assert not triton.choose_candidates(black, black, flow, 4).any()


def test_valid_candidates_are_chosen_for_flows_that_are_not_finite() -> None:
    first, second, flow = inputs(1, 3, 8, 40)
    for left, value in ((0, float("nan")), (14, float("inf")), (28, 1e30)):
        flow[..., 3:5, left : left + 10] = value
    chosen = triton.choose_candidates(first.to(DEVICE), second.to(DEVICE), flow.to(DEVICE), 4)
    assert ((chosen >= 0) & (chosen < len(CANDIDATES))).all()


@pytest.mark.parametrize("dominant_motions", [0, 2])
def test_most_flows_equal_those_of_the_reference(dominant_motions: int) -> None:
    arguments = *inputs(1, 3, 12, 16), HALF
    expected_output = reference.propagate_flow(*arguments, 2, dominant_motions)
    output = triton.propagate_flow(
        *(each.to(DEVICE) for each in arguments), 2, dominant_motions
    ).cpu()
    assert ((output - expected_output).abs().amax(1) < 1e-4).float().mean() > 0.9


@pytest.mark.parametrize("size", [(1, 3, 1, 1), (2, 3, 9, 40), (1, 4, 24, 32)])
@pytest.mark.parametrize("time", [0.0, 0.3, 0.5])
def test_chosen_motions_are_as_good_as_those_of_the_reference(
    size: tuple[int, ...], time: float
) -> None:
    samples, channels, rows, columns = size
    noise = torch.rand(samples, channels, rows // 4 + 2, columns // 4 + 3)
    scene = upsample(noise, 4)
    first = standardise(scene[..., :rows, 3 : 3 + columns])
    second = standardise(scene[..., :rows, :columns])
    flow = 2 * torch.randn(samples, 4, rows, columns)
    motions = torch.tensor([[(2.6, -0.5), (0.5, 0.0), (40.0, 0.0), (NO_MOTION, NO_MOTION)]])
    t = torch.full((samples, 1, 1, 1), time)
    arguments = first, second, flow, motions.expand(samples, -1, -1), t
    chosen = dominant_motions_triton.choose_motions(*(each.to(DEVICE) for each in arguments)).cpu()
    differences = motion_differences(*arguments)
    # If two differences are equal within rounding errors, either motion is right.
    chosen_differences = differences.gather(1, chosen.long()[:, None])[:, 0]
    torch.testing.assert_close(chosen_differences, differences.amin(1), atol=1e-4, rtol=0)


@pytest.mark.filterwarnings("ignore:invalid value")  # the interpreter computes with NumPy
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_flows_that_are_not_finite_do_not_change_the_motions_of_others(value: float) -> None:
    first, second, flow = inputs(1, 3, 8, 40)
    flow = torch.zeros_like(flow)
    flow[..., 3:5, 7:30] = value
    arguments = standardise(first), standardise(second), flow, torch.tensor([[[3.0, 0.0]]]), HALF
    expected_output = choose_motions(*arguments)
    output = dominant_motions_triton.choose_motions(*(each.to(DEVICE) for each in arguments)).cpu()
    assert torch.equal(output[:, :3].long(), expected_output[:, :3])


def test_colours_of_low_contrast_are_weighted_as_in_the_reference() -> None:
    first, second, flow = inputs(1, 3, 12, 16)
    contrast = torch.tensor([1.0, 0.002, 0.002]).view(
        1, 3, 1, 1
    )  # two of them below `MIN_DEVIATION`
    arguments = first * contrast, second * contrast, flow, HALF
    expected_output = reference.propagate_flow(*arguments, 2, 1)
    output = triton.propagate_flow(*(each.to(DEVICE) for each in arguments), 2, 1).cpu()
    assert ((output - expected_output).abs().amax(1) < 1e-4).float().mean() > 0.9
