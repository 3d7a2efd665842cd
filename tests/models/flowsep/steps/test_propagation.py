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
    """The flow that each pixel takes, before the mean."""
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
    inner=st.booleans(),
)
def test_halide_chooses_as_well_as_the_plain_form(step: int, inner: bool, **sizes: int) -> None:
    first, second, flow = inputs(**sizes)
    if inner:
        first, second = (
            each.contiguous(memory_format=torch.channels_last) for each in (first, second)
        )
    apart = candidate_differences(first, second, flow, step)
    taken = halide.choose_candidates(first, second, flow, step)
    # Where two differ by less than sums are rounded by, either will do.
    torch.testing.assert_close(
        apart.gather(1, taken.long()[:, None])[:, 0], apart.amin(1), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("fading", [False, True])
def test_smeared_edges_become_sharp(fading: bool) -> None:
    """A square that moves 3 pixels to either side, before a wall that stands still."""
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
    smeared = torch.nn.functional.avg_pool2d(true, 7, stride=1, padding=3)
    sharp, better = select_flow(*frames, smeared, 4), propagate_flow(*frames, smeared, 4)

    def wrong(flow: Tensor) -> float:
        return ((flow - true).abs().amax(1) > 0.5).float().sum().item()

    assert wrong(sharp) < 0.4 * wrong(smeared)
    assert wrong(better) < 0.6 * wrong(smeared)


def test_flows_are_taken_whole_from_where_they_stand() -> None:
    first, second, flow = inputs(1, 3, 8, 9)
    better = select_flow(first, second, flow, 2)
    assert (better != flow).any()
    for row in range(8):
        for column in range(9):
            places = [
                (min(max(row + 2 * y, 0), 7), min(max(column + 2 * x, 0), 8)) for y, x in CANDIDATES
            ]
            assert any(torch.equal(better[0, :, row, column], flow[0, :, y, x]) for y, x in places)


def test_where_nothing_is_seen_all_keep_their_own() -> None:
    black, flow = torch.zeros(1, 3, 8, 9), inputs(1, 3, 8, 9)[2]
    assert torch.equal(select_flow(black, black, flow, 4), flow)


def test_gradients_go_to_the_flows_that_were_taken() -> None:
    first, second, _ = inputs(1, 3, 8, 9)
    flow = torch.randn(1, 4, 8, 9, generator=torch.Generator().manual_seed(3))
    better = select_flow(first, second, flow.requires_grad_(), 4)
    better.sum().backward()
    given = [(better.detach() == value).sum().item() for value in flow.detach().flatten()]
    assert flow.grad is not None
    assert flow.grad.flatten().tolist() == given
    assert max(given) > 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_flows_that_lead_nowhere_harm_no_memory(value: float) -> None:
    first, second, flow = inputs(1, 3, 8, 40)
    flow[..., 3:5, 7:30] = value
    taken = halide.choose_candidates(first, second, flow, 4)
    assert ((taken >= 0) & (taken < len(CANDIDATES))).all()


def test_without_neighbours_flows_stay_as_they_are() -> None:
    first, second, flow = inputs(1, 3, 8, 9)
    assert torch.equal(propagate_flow(first, second, flow, 0), flow)


def test_no_seam_is_sharper_than_a_pixel() -> None:
    first, second, flow = inputs(1, 3, 24, 32)
    taken, better = select_flow(first, second, flow, 4), propagate_flow(first, second, flow, 4)
    torch.testing.assert_close(better[..., 5, 7], taken[..., 4:7, 6:9].mean((2, 3)))
    torch.testing.assert_close(better[..., 0, 0], taken[..., :2, :2].mean((2, 3)))
