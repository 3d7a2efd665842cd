"""Downsampling: the fast implementations equal the reference."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps import select_steps


def downsample(frame: Tensor, factor: int, multiple: int = 1) -> Tensor:
    return select_steps(frame).downsample(frame, factor, multiple)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 2),
    channels=st.sampled_from([1, 3, 4]),
    height=st.integers(1, 20),
    width=st.integers(1, 50),
    scale=st.sampled_from([1, 2, 4]),
    multiple=st.sampled_from([1, 3, 16]),
    inner=st.booleans(),
)
def test_halide_equals_the_plain_form(
    n: int, channels: int, height: int, width: int, scale: int, multiple: int, inner: bool
) -> None:
    frame = torch.rand(n, channels, height, width)
    if inner:
        frame = frame.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        made = downsample(frame, scale, multiple)
    torch.testing.assert_close(made, downsample(frame.requires_grad_(), scale, multiple).detach())


def test_edges_are_repeated() -> None:
    with torch.no_grad():
        made = downsample(torch.arange(5.0).expand(1, 1, 3, 5), 2, 4)
    assert made.tolist() == [[[[0.5, 2.5, 4.0, 4.0]] * 4]]


def test_gradients_flow_where_they_are_wanted() -> None:
    frame = torch.rand(1, 3, 8, 8, requires_grad=True)
    downsample(frame, 2).sum().backward()
    assert torch.equal(frame.grad, torch.full_like(frame, 0.25))
    with torch.no_grad():
        torch.testing.assert_close(downsample(frame, 2), functional.avg_pool2d(frame, 2))
