"""Decoded outputs: the Halide implementation equals the reference."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.models.flowsep.steps import select_steps
from midframe.models.flowsep.steps.fields import halide, reference
from midframe.ops import halide_tools


@settings(max_examples=30, deadline=None)
@given(
    dtype=st.sampled_from(halide_tools.TYPES),
    n=st.integers(1, 2),
    height=st.integers(1, 9),
    width=st.integers(1, 40),
    taps=st.sampled_from([1, 5]),
    normalise=st.booleans(),
)
def test_halide_equals_the_reference(
    dtype: torch.dtype, n: int, height: int, width: int, taps: int, normalise: bool
) -> None:
    outputs = torch.randn(n, 8 + 4 * taps, height, width).to(dtype)
    arguments = (outputs, torch.randn(n, 4, height, width), torch.rand(n, 1, 1, 1), normalise)
    torch.testing.assert_close(
        halide.decode_outputs(*arguments),
        reference.decode_outputs(*arguments),
        atol=1e-5,
        rtol=1e-4,
    )


def test_decoding_is_differentiable() -> None:
    outputs = torch.randn(1, 28, 4, 6, requires_grad=True)
    flow, t = torch.zeros(1, 4, 4, 6), torch.full((1, 1, 1, 1), 0.5)
    select_steps(outputs).decode_outputs(outputs, flow, t, True).sum().backward()
    assert (outputs.grad != 0).any()
