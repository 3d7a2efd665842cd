"""Flow propagation: edges become sharp, and the Halide implementation chooses as well as the
reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from midframe.models.flowsep.steps.propagation import halide, reference
from midframe.models.flowsep.steps.propagation.comparison import standardise
from midframe.models.flowsep.steps.propagation.reference import (
    CANDIDATES,
    candidate_differences,
    choose_candidates,
    take_candidates,
)
from midframe.ops.upsampling import upsample

HALF = torch.full((1, 1, 1, 1), 0.5)


def select_flow(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    """Return the flow chosen for each pixel, before the averaging."""
    with torch.no_grad():
        index = choose_candidates(standardise(first), standardise(second), flow, distance)
    return take_candidates(flow, index, distance)


def propagate_flow(first: Tensor, second: Tensor, flow: Tensor, distance: int) -> Tensor:
    return reference.propagate_flow(first, second, flow, HALF, distance, 0)


def inputs(n: int, channels: int, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, n, channels, rows, columns, generator=generator)
    coarse = torch.randn(n, 4, rows // 4 + 1, columns // 4 + 1, generator=generator) * 3
    return first, second, upsample(coarse, 4)[..., :rows, :columns]


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 2),
    channels=st.sampled_from([1, 3, 4, 9]),
    rows=st.integers(1, 12),
    columns=st.integers(1, 40),
    step=st.sampled_from([1, 4]),
    channels_last=st.booleans(),
)
def test_halide_chooses_candidates_as_good_as_the_reference(
    step: int, channels_last: bool, **sizes: int
) -> None:
    first, second, flow = inputs(**sizes)
    if channels_last:
        first, second = (
            each.contiguous(memory_format=torch.channels_last) for each in (first, second)
        )
    differences = candidate_differences(first, second, flow, step)
    chosen = halide.choose_candidates(first, second, flow, step)
    # If two differences are equal within rounding errors, either candidate is right.
    torch.testing.assert_close(
        differences.gather(1, chosen.long()[:, None])[:, 0], differences.amin(1), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("fading", [False, True])
def test_blurred_edges_of_a_flow_become_sharp(fading: bool) -> None:
    """A square moves by 6 pixels from the first frame to the second, before a static wall."""
    generator = torch.Generator().manual_seed(2)
    wall, square = (
        torch.rand(1, 3, 48, 64, generator=generator),
        torch.rand(1, 3, 16, 16, generator=generator),
    )
    frames, true = (wall.clone(), wall.clone()), torch.zeros(1, 4, 48, 64)
    for number, left in enumerate((21, 27)):
        frames[number][..., 16:32, left : left + 16] = square
        true[:, 2 * number, 16:32, 24:40] = left - 24.0
    if fading:
        frames = frames[0], 0.6 + 0.3 * frames[1]
    blurred = torch.nn.functional.avg_pool2d(true, 7, stride=1, padding=3)
    chosen, averaged = select_flow(*frames, blurred, 4), propagate_flow(*frames, blurred, 4)

    def count_errors(flow: Tensor) -> float:
        return ((flow - true).abs().amax(1) > 0.5).float().sum().item()

    assert count_errors(chosen) < 0.4 * count_errors(blurred)
    assert count_errors(averaged) < 0.6 * count_errors(blurred)


def test_each_pixel_copies_the_flow_of_a_candidate_unchanged() -> None:
    first, second, flow = inputs(1, 3, 8, 9)
    averaged = select_flow(first, second, flow, 2)
    assert (averaged != flow).any()
    for row in range(8):
        for column in range(9):
            positions = [
                (min(max(row + 2 * y, 0), 7), min(max(column + 2 * x, 0), 8)) for y, x in CANDIDATES
            ]
            assert any(
                torch.equal(averaged[0, :, row, column], flow[0, :, y, x]) for y, x in positions
            )


def test_in_black_frames_all_pixels_keep_their_flow() -> None:
    black, flow = torch.zeros(1, 3, 8, 9), inputs(1, 3, 8, 9)[2]
    assert torch.equal(select_flow(black, black, flow, 4), flow)


def test_only_the_chosen_flows_get_gradients() -> None:
    first, second, _ = inputs(1, 3, 8, 9)
    flow = torch.randn(1, 4, 8, 9, generator=torch.Generator().manual_seed(3))
    averaged = select_flow(first, second, flow.requires_grad_(), 4)
    averaged.sum().backward()
    counts = [(averaged.detach() == value).sum().item() for value in flow.detach().flatten()]
    assert flow.grad is not None
    assert flow.grad.flatten().tolist() == counts
    assert max(counts) > 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_flows_that_are_not_finite_cause_no_invalid_memory_access(value: float) -> None:
    first, second, flow = inputs(1, 3, 8, 40)
    flow[..., 3:5, 7:30] = value
    chosen = halide.choose_candidates(first, second, flow, 4)
    assert ((chosen >= 0) & (chosen < len(CANDIDATES))).all()


def test_flows_are_unchanged_at_a_propagation_distance_of_0() -> None:
    first, second, flow = inputs(1, 3, 8, 9)
    assert torch.equal(propagate_flow(first, second, flow, 0), flow)


def test_chosen_flows_are_averaged_over_three_by_three_pixels() -> None:
    first, second, flow = inputs(1, 3, 24, 32)
    chosen, averaged = select_flow(first, second, flow, 4), propagate_flow(first, second, flow, 4)
    torch.testing.assert_close(averaged[..., 5, 7], chosen[..., 4:7, 6:9].mean((2, 3)))
    torch.testing.assert_close(averaged[..., 0, 0], chosen[..., :2, :2].mean((2, 3)))
