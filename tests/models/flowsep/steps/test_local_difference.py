"""The largest local difference of two frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.models.flowsep.steps import select_steps
from midframe.models.flowsep.steps.local_difference.reference import REACH, local_difference


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 2),
    channels=st.integers(1, 4),
    height=st.integers(1, 40),
    width=st.integers(1, 60),
    factor=st.sampled_from([1, 2, 4, 8]),
    extra=st.integers(0, 3),
    channels_last=st.booleans(),
)
def test_halide_equals_the_reference(
    n: int, channels: int, height: int, width: int, factor: int, extra: int, channels_last: bool
) -> None:
    first, second = torch.rand(2, n, channels, height, width)
    if channels_last:
        first, second = (
            each.contiguous(memory_format=torch.channels_last) for each in (first, second)
        )
    size = (-(-height // factor) + extra, -(-width // factor) + extra)
    with torch.no_grad():
        result = select_steps(first).local_difference(first, second, factor, size)
    assert torch.equal(result, local_difference(first, second, factor, size))


@pytest.mark.parametrize("channel", [0, 3])
def test_a_difference_in_one_pixel_of_one_channel_spreads_to_its_surroundings(channel: int) -> None:
    first = torch.zeros(1, 4, 40, 40)
    second = first.clone()
    second[0, channel, 21, 13] = -0.5
    expected = torch.zeros(1, 1, 10, 10)
    expected[..., 5 - REACH : 6 + REACH, 3 - REACH : 4 + REACH] = 0.5
    assert torch.equal(local_difference(first, second, 4, (10, 10)), expected)


def test_an_inverted_checkerboard_differs_although_its_means_are_equal() -> None:
    board = (torch.arange(16) + torch.arange(16)[:, None]) % 2
    first = board.float().expand(1, 3, 16, 16)
    assert local_difference(first, 1 - first, 4, (4, 4)).min() == 1


def test_the_reference_is_differentiable() -> None:
    first = torch.rand(1, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    second = torch.rand(1, 3, 9, 11, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda frame: local_difference(frame, second, 2, (5, 6)), first)
