"""Dominant motions: found by a histogram, and followed only where they align both frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from midframe.models.flowsep.steps.propagation import dominant_motions_halide as halide
from midframe.models.flowsep.steps.propagation.comparison import standardise
from midframe.models.flowsep.steps.propagation.dominant_motions import (
    NO_MOTION,
    choose_motions,
    find_dominant_motions,
    follow_dominant_motions,
    motion_differences,
)
from midframe.ops.upsampling import upsample

IMPLEMENTATIONS = [choose_motions, halide.choose_motions]


def flow_of(motion: Tensor, t: Tensor) -> Tensor:
    """The flow to both frames, (N, 4, h, w), of a motion (N, 2, h, w)."""
    return torch.cat((-t * motion, (1 - t) * motion), 1)


def frames(n: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Two frames of smooth noise; the second is moved to the right by three pixels."""
    noise = torch.rand(n, 3, rows // 4 + 2, columns // 4 + 3, generator=generator(0))
    large = upsample(noise, 4)
    moved = large[..., :rows, :columns]
    return standardise(large[..., :rows, 3 : 3 + columns]), standardise(moved)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_most_frequent_motions_are_found() -> None:
    motion = torch.zeros(2, 2, 64, 96)
    motion[0, :, :40] = torch.tensor([10.3, -4.6])[:, None, None]
    motion[0] += 0.1 * torch.randn(2, 64, 96, generator=generator(1))
    motion[1, :, :4] = 50.0  # by too few pixels
    found = find_dominant_motions(motion, 3)
    expected = torch.tensor([[[10.3, -4.6], [0, 0]], [[0, 0], [NO_MOTION, NO_MOTION]]])
    torch.testing.assert_close(found[:, :2], expected, atol=0.05, rtol=0)
    assert (found[:, 2] == NO_MOTION).all()


def test_a_peak_between_two_motions_stays_between_them() -> None:
    motion = torch.zeros(1, 2, 64, 64)
    motion[:, 0, :32], motion[:, 0, 32:] = 10.0, 12.0
    torch.testing.assert_close(find_dominant_motions(motion, 1), torch.tensor([[[11.0, 0.0]]]))


def test_motions_longer_than_the_histogram_are_not_found() -> None:
    motion = torch.full((1, 2, 64, 64), 200.0)
    assert (find_dominant_motions(motion, 2) == NO_MOTION).all()


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
@pytest.mark.parametrize("time", [0.0, 0.25, 0.5])
def test_stripes_take_the_motion_of_their_surroundings(choose, time: float) -> None:  # type: ignore[no-untyped-def]
    """Stripes of a period of 6 pixels move with the rest by 3: their flow is half a period off."""
    t = torch.full((1, 1, 1, 1), time)
    scene = upsample(torch.rand(1, 3, 20, 40, generator=generator(2)), 4)
    scene[..., 20:50, 40:120] = (torch.arange(80) % 6 < 3).float()
    first, second = (standardise(scene[..., left : left + 120]) for left in (23, 20))
    wrong = torch.zeros(1, 2, 80, 120)
    wrong[:, 0] = 3.0
    right = wrong.clone()
    wrong[:, 0, 24:46, 30:80] = -3.0
    found = follow_dominant_motions(first, second, flow_of(wrong, t), t, 2, choose)
    corrected = (found - flow_of(right, t)).abs().amax(1)[0, 26:44, 32:78] < 1e-3
    assert corrected.float().mean() > 0.99


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
def test_an_object_that_passes_a_still_background_keeps_its_flow(choose) -> None:  # type: ignore[no-untyped-def]
    """Halfway, both frames show the same background where the object is."""
    t = torch.full((1, 1, 1, 1), 0.5)
    wall = torch.rand(1, 3, 64, 96, generator=generator(3))
    shown = []
    for left in (30, 50):
        frame = wall.clone()
        frame[..., left : left + 6] = 1.0
        shown.append(standardise(frame))
    motion = torch.zeros(1, 2, 64, 96)
    motion[:, 0, :, 40:46] = 20.0
    flow = flow_of(motion, t)
    assert torch.equal(follow_dominant_motions(*shown, flow, t, 2, choose), flow)


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
def test_motions_out_of_the_frame_are_not_followed(choose) -> None:  # type: ignore[no-untyped-def]
    t = torch.full((1, 1, 1, 1), 0.5)
    first, second = frames(1, 24, 32)
    flow = flow_of(torch.randn(1, 2, 24, 32, generator=generator(4)), t)
    motions = torch.tensor([[[40.0, 0.0], [0.0, -30.0], [NO_MOTION, NO_MOTION]]])
    assert not choose(first, second, flow, motions, t).any()


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 2),
    rows=st.integers(1, 14),
    columns=st.integers(1, 40),
    motion=st.sampled_from([(3.0, 0.0), (2.6, -0.5), (-1.0, 4.0)]),
    time=st.sampled_from([0.0, 0.3, 0.5]),
)
def test_halide_chooses_as_well_as_pytorch(
    n: int, rows: int, columns: int, motion: tuple[float, float], time: float
) -> None:
    first, second = frames(n, rows, columns)
    t = torch.full((n, 1, 1, 1), time)
    flow = flow_of(2 * torch.randn(n, 2, rows, columns, generator=generator(5)), t)
    motions = torch.tensor([[motion, (0.5, 0.0), (NO_MOTION, NO_MOTION)]]).expand(n, -1, -1)
    differences = motion_differences(first, second, flow, motions, t)
    found = halide.choose_motions(first, second, flow, motions, t)
    # Where two differ by less than rounding errors, either is right.
    chosen = differences.gather(1, found.long()[:, None])[:, 0]
    torch.testing.assert_close(chosen, differences.amin(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_flows_that_are_not_finite_change_no_others(choose, value: float) -> None:  # type: ignore[no-untyped-def]
    t = torch.full((1, 1, 1, 1), 0.5)
    first, second = frames(1, 8, 40)
    flow = torch.zeros(1, 4, 8, 40)
    flow[..., 3:5, 7:30] = value
    found = follow_dominant_motions(first, second, flow, t, 3, choose)
    assert torch.equal(found[..., :3, :], flow[..., :3, :])


def test_gradients_are_those_of_flows_that_are_not_replaced() -> None:
    t = torch.full((1, 1, 1, 1), 0.5)
    first, second = frames(1, 24, 32)
    motion = torch.zeros(1, 2, 24, 32)
    motion[:, 0] = 3.0
    motion[:, :, 8:16, 8:20] = -2.0
    flow = flow_of(motion, t).requires_grad_()
    found = follow_dominant_motions(first, second, flow, t, 1)
    assert (found != flow).any(1)[..., 10:14, 10:18].all()
    found.square().sum().backward()
    torch.testing.assert_close(flow.grad, 2 * found.detach())
