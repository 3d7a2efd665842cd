"""Dominant motions: found by a histogram, and used only where they align both frames better."""

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
    """Return the flow to both frames, (N, 4, h, w), of a motion (N, 2, h, w)."""
    return torch.cat((-t * motion, (1 - t) * motion), 1)


def frames(n: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return two frames of smooth noise; the second is shifted to the right by three pixels."""
    noise = torch.rand(n, 3, rows // 4 + 2, columns // 4 + 3, generator=generator(0))
    large = upsample(noise, 4)
    shifted = large[..., :rows, :columns]
    return standardise(large[..., :rows, 3 : 3 + columns]), standardise(shifted)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_most_frequent_motions_are_found() -> None:
    motion = torch.zeros(2, 2, 64, 96)
    motion[0, :, :40] = torch.tensor([10.3, -4.6])[:, None, None]
    motion[0] += 0.1 * torch.randn(2, 64, 96, generator=generator(1))
    motion[1, :, :4] = 50.0  # of too few pixels
    motions = find_dominant_motions(motion, 3)
    expected = torch.tensor([[[10.3, -4.6], [0, 0]], [[0, 0], [NO_MOTION, NO_MOTION]]])
    torch.testing.assert_close(motions[:, :2], expected, atol=0.05, rtol=0)
    assert (motions[:, 2] == NO_MOTION).all()


def test_similar_motions_give_one_dominant_motion_between_them() -> None:
    motion = torch.zeros(1, 2, 64, 64)
    motion[:, 0, :32], motion[:, 0, 32:] = 10.0, 12.0
    torch.testing.assert_close(find_dominant_motions(motion, 1), torch.tensor([[[11.0, 0.0]]]))


def test_motions_beyond_the_histogram_are_not_found() -> None:
    motion = torch.full((1, 2, 64, 64), 200.0)
    assert (find_dominant_motions(motion, 2) == NO_MOTION).all()


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
@pytest.mark.parametrize("time", [0.0, 0.25, 0.5])
def test_periodic_stripes_get_the_motion_of_their_surroundings(choose, time: float) -> None:  # type: ignore[no-untyped-def]
    """Stripes of a period of 6 pixels move by 3 like the rest; their flow is off by a period."""
    t = torch.full((1, 1, 1, 1), time)
    scene = upsample(torch.rand(1, 3, 20, 40, generator=generator(2)), 4)
    scene[..., 20:50, 40:120] = (torch.arange(80) % 6 < 3).float()
    first, second = (standardise(scene[..., left : left + 120]) for left in (23, 20))
    wrong = torch.zeros(1, 2, 80, 120)
    wrong[:, 0] = 3.0
    right = wrong.clone()
    wrong[:, 0, 24:46, 30:80] = -3.0
    result = follow_dominant_motions(first, second, flow_of(wrong, t), t, 2, choose)
    corrected = (result - flow_of(right, t)).abs().amax(1)[0, 26:44, 32:78] < 1e-3
    assert corrected.float().mean() > 0.99


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
def test_an_object_before_a_static_background_keeps_its_flow(choose) -> None:  # type: ignore[no-untyped-def]
    """At the middle time, both frames show the same background in place of the object."""
    t = torch.full((1, 1, 1, 1), 0.5)
    wall = torch.rand(1, 3, 64, 96, generator=generator(3))
    images = []
    for left in (30, 50):
        frame = wall.clone()
        frame[..., left : left + 6] = 1.0
        images.append(standardise(frame))
    motion = torch.zeros(1, 2, 64, 96)
    motion[:, 0, :, 40:46] = 20.0
    flow = flow_of(motion, t)
    assert torch.equal(follow_dominant_motions(*images, flow, t, 2, choose), flow)


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
def test_motions_out_of_the_frame_are_not_chosen(choose) -> None:  # type: ignore[no-untyped-def]
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
def test_halide_chooses_motions_as_good_as_the_reference(
    n: int, rows: int, columns: int, motion: tuple[float, float], time: float
) -> None:
    first, second = frames(n, rows, columns)
    t = torch.full((n, 1, 1, 1), time)
    flow = flow_of(2 * torch.randn(n, 2, rows, columns, generator=generator(5)), t)
    motions = torch.tensor([[motion, (0.5, 0.0), (NO_MOTION, NO_MOTION)]]).expand(n, -1, -1)
    differences = motion_differences(first, second, flow, motions, t)
    chosen = halide.choose_motions(first, second, flow, motions, t)
    # If two differences are equal within rounding errors, either motion is right.
    chosen_differences = differences.gather(1, chosen.long()[:, None])[:, 0]
    torch.testing.assert_close(chosen_differences, differences.amin(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("choose", IMPLEMENTATIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_flows_that_are_not_finite_do_not_change_others(choose, value: float) -> None:  # type: ignore[no-untyped-def]
    t = torch.full((1, 1, 1, 1), 0.5)
    first, second = frames(1, 8, 40)
    flow = torch.zeros(1, 4, 8, 40)
    flow[..., 3:5, 7:30] = value
    result = follow_dominant_motions(first, second, flow, t, 3, choose)
    assert torch.equal(result[..., :3, :], flow[..., :3, :])


def test_gradients_pass_through_replaced_flows() -> None:
    t = torch.full((1, 1, 1, 1), 0.5)
    first, second = frames(1, 24, 32)
    motion = torch.zeros(1, 2, 24, 32)
    motion[:, 0] = 3.0
    motion[:, :, 8:16, 8:20] = -2.0
    flow = flow_of(motion, t).requires_grad_()
    result = follow_dominant_motions(first, second, flow, t, 1)
    assert (result != flow).any(1)[..., 10:14, 10:18].all()
    result.square().sum().backward()
    torch.testing.assert_close(flow.grad, 2 * result.detach())
