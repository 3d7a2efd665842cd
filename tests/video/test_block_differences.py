"""Differences in blocks: values by hand, and Halide against PyTorch."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.video import block_differences
from midframe.video.block_differences import halide, reference


def test_the_colour_that_differs_most_counts_and_alpha_does_not() -> None:
    before, after = torch.zeros(2, 1, 4, 8, 12)
    after[:, 1, :4, :4] = 0.5
    after[:, 3] = 1
    change = block_differences.change(before, after, 4)
    assert change.tolist() == [[0.5, 0, 0], [0, 0, 0]]


def test_the_blend_of_both_frames_has_no_error() -> None:
    before, after = torch.rand(2, 1, 3, 9, 13)
    blend = torch.lerp(before, after, 0.25)
    assert block_differences.blend_error(blend, before, after, 0.25, 2).max() < 1e-6
    assert block_differences.blend_error(blend, before, after, 0.75, 2).min() > 0


@settings(max_examples=40, deadline=None)
@given(
    channels=st.sampled_from([3, 4]),
    height=st.integers(1, 30),
    width=st.integers(1, 90),
    block=st.sampled_from([2, 4, 8, 24]),
    t=st.floats(0, 1),
)
def test_halide_equals_the_plain_form(
    channels: int, height: int, width: int, block: int, t: float
) -> None:
    frames = torch.rand(3, 1, channels, height, width)
    result = halide.blend_error(*frames, t, block)
    torch.testing.assert_close(result, reference.blend_error(*frames, t, block))
