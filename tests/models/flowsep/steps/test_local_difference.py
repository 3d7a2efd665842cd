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
    more=st.integers(0, 3),
    inner=st.booleans(),
)
def test_halide_equals_the_plain_form(
    n: int, channels: int, height: int, width: int, factor: int, more: int, inner: bool
) -> None:
    first, second = torch.rand(2, n, channels, height, width)
    if inner:
        first, second = (
            each.contiguous(memory_format=torch.channels_last) for each in (first, second)
        )
    size = (-(-height // factor) + more, -(-width // factor) + more)
    with torch.no_grad():
        made = select_steps(first).local_difference(first, second, factor, size)
    assert torch.equal(made, local_difference(first, second, factor, size))


@pytest.mark.parametrize("channel", [0, 3])
def test_one_pixel_of_one_channel_is_seen_from_around_it(channel: int) -> None:
    first = torch.zeros(1, 4, 40, 40)
    second = first.clone()
    second[0, channel, 21, 13] = -0.5
    expected = torch.zeros(1, 1, 10, 10)
    expected[..., 5 - REACH : 6 + REACH, 3 - REACH : 4 + REACH] = 0.5
    assert torch.equal(local_difference(first, second, 4, (10, 10)), expected)


def test_a_checkerboard_that_inverts_is_different_though_its_means_are_not() -> None:
    board = (torch.arange(16) + torch.arange(16)[:, None]) % 2
    first = board.float().expand(1, 3, 16, 16)
    assert local_difference(first, 1 - first, 4, (4, 4)).min() == 1


def test_it_is_differentiable() -> None:
    first = torch.rand(1, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    second = torch.rand(1, 3, 9, 11, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda frame: local_difference(frame, second, 2, (5, 6)), first)
