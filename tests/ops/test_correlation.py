"""Local correlation: known values, a slow loop, gradients, errors."""

import re
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from midframe.models.flowsep.steps.decoder_input.reference import unit_length
from midframe.ops import local_correlation
from midframe.ops.correlation import halide, op, reference
from midframe.ops.dispatch import without_compilation

SIZES = {
    "n": st.integers(1, 3),
    "c": st.integers(1, 9),
    "height": st.integers(1, 6),
    "width": st.integers(1, 35),
    "radius": st.integers(1, 4),
}


def inputs(n: int = 2, c: int = 5, height: int = 6, width: int = 18) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, n, c, height, width, generator=generator)
    return first, second


def slow_loop(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Compute the result by its definition, one value at a time."""
    count, _, height, width = first.shape
    side = 2 * radius + 1
    result = torch.zeros(count, side * side, height, width, dtype=torch.float64)
    for n, d, y, x in torch.cartesian_prod(*(torch.arange(size) for size in result.shape)).tolist():
        row, column = y + d // side - radius, x + d % side - radius
        if 0 <= row < height and 0 <= column < width:
            result[n, d, y, x] = first[n, :, y, x].double() @ second[n, :, row, column].double()
    return result


@pytest.mark.parametrize("module", [halide, reference])
@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(1, 2),
    c=st.integers(1, 6),
    height=st.integers(1, 4),
    width=st.integers(1, 20),
    radius=st.just(2),
)
def test_every_implementation_equals_the_slow_loop(module: Any, radius: int, **sizes: int) -> None:
    arguments = inputs(**sizes)
    result = module.correlation_forward(*arguments, radius)
    torch.testing.assert_close(result.double(), slow_loop(*arguments, radius), atol=1e-4, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_halide_equals_the_reference(radius: int, **sizes: int) -> None:
    first, second = inputs(**sizes)
    result = halide.correlation_forward(first, second, radius)
    torch.testing.assert_close(
        result, reference.correlation_forward(first, second, radius), atol=1e-4, rtol=1e-4
    )
    arguments = torch.randn(result.shape), first, second, radius
    gradients, expected = (
        module.correlation_gradients(*arguments) for module in (halide, reference)
    )
    torch.testing.assert_close(gradients, expected, atol=1e-3, rtol=1e-4)
    assert all(each.is_contiguous() for each in (result, *gradients))


def test_gradients_pass_gradcheck_in_float64() -> None:
    arguments = [each.double().requires_grad_() for each in inputs(n=1, c=2, height=3, width=4)]
    assert torch.autograd.gradcheck(
        lambda first, second: local_correlation(first, second, 2), arguments
    )


def test_gradients_of_the_reference_are_contiguous() -> None:
    first, second = inputs()
    gradients = reference.correlation_gradients(torch.randn(2, 25, 6, 18), first, second, 2)
    assert all(each.is_contiguous() for each in gradients)


def test_correlation_is_highest_at_the_displacement_of_the_features() -> None:
    first = unit_length(torch.randn(1, 8, 12, 12))
    second = first.roll((1, -2), (2, 3))
    similarity = local_correlation(first, second, 3)
    best = similarity[..., 4:8, 4:8].argmax(1)
    assert (best == (3 + 1) * 7 + 3 - 2).all()


@pytest.mark.parametrize("width", [5, 16, 40])  # narrower than a SIMD vector, as wide, and wider
def test_the_operator_passes_opcheck(width: int) -> None:
    arguments = (*(each.requires_grad_() for each in inputs(width=width)), 2)
    torch.library.opcheck(torch.ops.midframe.local_correlation.default, arguments)


FEATURES = torch.rand(1, 3, 4, 5)
INVALID = {
    "of one shape (N, C, H, W) are needed": (FEATURES[0], FEATURES[0], 1),
    "of one shape (N, C, H, W) are needed, got torch.Size([1, 0": (
        FEATURES[:, :0], FEATURES[:, :0], 1,
    ),
    "of one type on one device": (FEATURES, FEATURES.to("meta"), 1),
    "floating features": (FEATURES.byte(), FEATURES.byte(), 1),
    "radius is 0: 1 or more": (FEATURES, FEATURES, 0),
}  # fmt: skip


@pytest.mark.parametrize("message", INVALID)
def test_each_size_type_and_device_is_checked(message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        local_correlation(*INVALID[message])


@pytest.mark.parametrize("radius", [1, 8, 9])
def test_all_radii_are_accepted(radius: int) -> None:
    exact = FEATURES.double()
    result = local_correlation(exact, exact, radius)
    torch.testing.assert_close(result, slow_loop(exact, exact, radius), atol=1e-12, rtol=0)


def test_halide_is_used_on_the_cpu_where_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert op.load_halide() is halide
    assert op._implementation(FEATURES) is halide
    assert op._implementation(FEATURES.double()) is reference
    monkeypatch.setattr(op, "for_device", lambda *_: None)
    assert op._implementation(FEATURES) is reference


def test_implementations_get_a_contiguous_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    contiguous: list[bool] = []

    class Recorder:
        correlation_forward = staticmethod(reference.correlation_forward)

        def correlation_gradients(self, gradient: Tensor, *arguments: Any) -> Any:
            contiguous.append(gradient.is_contiguous())
            return reference.correlation_gradients(gradient, *arguments)

    monkeypatch.setattr(op, "_implementation", lambda _: Recorder())
    first, second = (each.requires_grad_() for each in inputs())
    local_correlation(first, second, 1).sum().backward()
    assert contiguous == [True]


@pytest.mark.parametrize("exporting", [False, True])
def test_the_reference_is_used_in_exports_and_without_compilation(
    exporting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("the operator is called")

    monkeypatch.setattr(op, "_correlation", fail)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exporting)
    first, second = inputs()
    with nullcontext() if exporting else without_compilation():
        result = local_correlation(first, second, 2)
    assert torch.equal(result, reference.correlation_forward(first, second, 2))


def test_unequal_tensors_and_a_radius_of_0_are_refused() -> None:
    first, second = inputs()
    with pytest.raises(ValueError, match="of one shape"):
        local_correlation(first, second[..., 1:], 1)
    with pytest.raises(ValueError, match=r"of one type.*float64"):
        local_correlation(first, second.double(), 1)
    with pytest.raises(ValueError, match="radius is 0"):
        local_correlation(first, second, 0)
