"""The decoder input: the Halide implementation equals the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from midframe.models.flowsep.steps import select_steps
from midframe.models.flowsep.steps.decoder_input import halide, reference
from midframe.ops import halide_tools

TOLERANCES = {
    torch.float32: {"atol": 1e-4, "rtol": 1e-4},
    torch.bfloat16: {"atol": 2e-2, "rtol": 2e-2},
}


def inputs(
    n: int, width: int, carried: int, rows: int, columns: int
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    # One sign a channel: interpolated features do not come near the length 0, by which rounding
    # errors would be divided.
    signs = torch.randn(width, 1, 1, generator=generator).sign()
    features = signs * (0.5 + torch.rand(2 * n, width, 2 * rows, 2 * columns, generator=generator))
    coarse = torch.randn(n, carried, rows, columns, generator=generator) if carried else None
    flow = torch.randn(n, 4, 2 * rows, 2 * columns, generator=generator) * 3
    return features, coarse, flow, torch.rand(n, 1, 1, 1, generator=generator)


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(halide_tools.TYPES),
    n=st.integers(1, 2),
    width=st.sampled_from([1, 4, 16, 20]),
    carried=st.sampled_from([0, 3, 16]),
    rows=st.integers(1, 8),
    columns=st.integers(1, 20),
    radius=st.sampled_from([0, 1, 3, 4]),
    channels_last=st.booleans(),
    gain=st.sampled_from([1.0, 1e-4]),  # the second makes all features shorter than `MIN_LENGTH`
)
def test_halide_equals_the_reference(
    dtype: torch.dtype, radius: int, channels_last: bool, gain: float, **sizes: int
) -> None:
    features, carried, flow, time = inputs(**sizes)
    features, carried = (
        (gain * features).to(dtype),
        carried.to(dtype) if carried is not None else None,
    )
    if channels_last:
        features = features.contiguous(memory_format=torch.channels_last)
    output = halide.decoder_input(features, carried, flow, time, radius)
    expected = reference.decoder_input(features, carried, flow, time, radius)
    torch.testing.assert_close(output, expected, **TOLERANCES[dtype])


@pytest.mark.parametrize("enabled", [True, False])
def test_the_output_requires_gradients_only_if_they_are_enabled(enabled: bool) -> None:
    features, carried, flow, time = inputs(1, 4, 3, 4, 5)
    with torch.set_grad_enabled(enabled):
        output = select_steps(features).decoder_input(
            features, carried, flow.requires_grad_(), time, 2
        )
    assert output.requires_grad == enabled
    torch.testing.assert_close(
        output.detach(), reference.decoder_input(features, carried, flow.detach(), time, 2)
    )
