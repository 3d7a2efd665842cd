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
    channels_last=st.booleans(),
)
def test_halide_equals_the_reference(
    n: int, channels: int, height: int, width: int, scale: int, multiple: int, channels_last: bool
) -> None:
    frame = torch.rand(n, channels, height, width)
    if channels_last:
        frame = frame.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        output = downsample(frame, scale, multiple)
    torch.testing.assert_close(output, downsample(frame.requires_grad_(), scale, multiple).detach())


def test_edges_are_replicated() -> None:
    with torch.no_grad():
        output = downsample(torch.arange(5.0).expand(1, 1, 3, 5), 2, 4)
    assert output.tolist() == [[[[0.5, 2.5, 4.0, 4.0]] * 4]]


def test_downsampling_is_differentiable() -> None:
    frame = torch.rand(1, 3, 8, 8, requires_grad=True)
    downsample(frame, 2).sum().backward()
    assert torch.equal(frame.grad, torch.full_like(frame, 0.25))
    with torch.no_grad():
        torch.testing.assert_close(downsample(frame, 2), functional.avg_pool2d(frame, 2))
