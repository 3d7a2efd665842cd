"""Synthesis: the Halide implementation equals the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from midframe.models.flowsep.steps.synthesis import halide, reference
from midframe.ops.resampling import RESAMPLINGS, Resampling


def inputs(
    n: int, channels: int, height: int, width: int, taps: int, factor: int
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, n, channels, height, width, generator=generator)
    size = (-(-height // factor), -(-width // factor))
    fields = torch.randn(n, 8 + 4 * taps, *size, generator=generator)
    fields[:, :4] *= 3
    fields[:, 4 + 4 * taps] = torch.rand(n, *size, generator=generator)
    return first, second, fields


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 2),
    channels=st.sampled_from([3, 4]),
    height=st.integers(1, 40),
    width=st.integers(1, 60),
    taps=st.sampled_from([1, 3, 5]),
    factor=st.sampled_from([2, 4]),
    resampling=st.sampled_from(RESAMPLINGS),
    data=st.data(),
)
def test_any_rectangle_equals_the_reference(  # type: ignore[no-untyped-def]
    n: int,
    channels: int,
    height: int,
    width: int,
    taps: int,
    factor: int,
    resampling: Resampling,
    data,
) -> None:
    first, second, fields = inputs(n, channels, height, width, taps, factor)
    rows, columns = (
        slice(start := data.draw(st.integers(0, size - 1)), data.draw(st.integers(start + 1, size)))
        for size in (height, width)
    )
    deviation = torch.rand(n, 1, 1, 1)
    arguments = (first, second, fields, factor, rows, columns, deviation)
    fast = halide.synthesise(*arguments, resampling=resampling)
    torch.testing.assert_close(
        fast, reference.synthesise(*arguments, resampling=resampling), atol=2e-4, rtol=1e-3
    )


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("width", [319, 335, 700])
def test_wide_frames_equal_the_reference(width: int, resampling: Resampling) -> None:
    first, second, fields = inputs(1, 3, 11, width, 5, 4)
    arguments = (first, second, fields, 4, slice(2, 11), slice(3, width), torch.ones(1, 1, 1, 1))
    fast = halide.synthesise(*arguments, resampling=resampling)
    torch.testing.assert_close(
        fast, reference.synthesise(*arguments, resampling=resampling), atol=2e-4, rtol=1e-3
    )


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (9, 1), (5, 17), (3, 33)])
@pytest.mark.parametrize("taps", [1, 5])
def test_tiny_frames_with_flows_out_of_the_frame_equal_the_reference(
    size: tuple[int, int], taps: int, resampling: Resampling
) -> None:
    for channels, reach in ((3, 2), (4, 50)):
        first, second, fields = inputs(1, channels, *size, taps, 2)
        fields[:, :4] *= reach
        arguments = (
            first,
            second,
            fields,
            2,
            slice(0, size[0]),
            slice(0, size[1]),
            torch.ones(1, 1, 1, 1),
        )
        fast = halide.synthesise(*arguments, resampling=resampling)
        torch.testing.assert_close(
            fast, reference.synthesise(*arguments, resampling=resampling), atol=1e-3, rtol=1e-3
        )


def test_the_reference_is_differentiable_in_the_fields() -> None:
    first, second, fields = (each.double() for each in inputs(1, 3, 6, 8, 3, 2))

    def synthesise(values: Tensor) -> Tensor:
        return reference.synthesise(
            first, second, values, 2, slice(0, 6), slice(0, 8), torch.ones(1, 1, 1, 1).double()
        )

    assert torch.autograd.gradcheck(synthesise, fields.requires_grad_(), atol=1e-4)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_mask_of_one_gives_the_first_frame(channels: int) -> None:
    first, second, _ = inputs(1, channels, 20, 30, 1, 2)
    fields = torch.zeros(1, 12, 10, 15)
    fields[:, 4:9] = 1  # kernels of one tap, and the mask
    output = halide.synthesise(
        first, second, fields, 2, slice(0, 20), slice(0, 30), torch.ones(1, 1, 1, 1)
    )
    torch.testing.assert_close(output, first)
