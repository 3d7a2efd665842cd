"""The ladder of local correlation: known values, a slow loop, gradients, errors."""

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


def slow(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """The definition, one value at a time."""
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
    made = module.correlation_forward(*arguments, radius)
    torch.testing.assert_close(made.double(), slow(*arguments, radius), atol=1e-4, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_halide_equals_the_plain_form(radius: int, **sizes: int) -> None:
    first, second = inputs(**sizes)
    made = halide.correlation_forward(first, second, radius)
    torch.testing.assert_close(
        made, reference.correlation_forward(first, second, radius), atol=1e-4, rtol=1e-4
    )
    arguments = torch.randn(made.shape), first, second, radius
    fast, plain = (module.correlation_gradients(*arguments) for module in (halide, reference))
    torch.testing.assert_close(fast, plain, atol=1e-3, rtol=1e-4)
    assert all(each.is_contiguous() for each in (made, *fast))


def test_gradients_are_right_in_float64() -> None:
    arguments = [each.double().requires_grad_() for each in inputs(n=1, c=2, height=3, width=4)]
    assert torch.autograd.gradcheck(
        lambda first, second: local_correlation(first, second, 2), arguments
    )


def test_the_plain_gradients_have_memory_of_their_own() -> None:
    first, second = inputs()
    gradients = reference.correlation_gradients(torch.randn(2, 25, 6, 18), first, second, 2)
    assert all(each.is_contiguous() for each in gradients)


def test_correlation_is_highest_where_features_moved_to() -> None:
    first = unit_length(torch.randn(1, 8, 12, 12))
    second = first.roll((1, -2), (2, 3))
    like = local_correlation(first, second, 3)
    best = like[..., 4:8, 4:8].argmax(1)
    assert (best == (3 + 1) * 7 + 3 - 2).all()


@pytest.mark.parametrize("width", [5, 16, 40])  # narrower than a vector, one, and more
def test_it_is_a_well_behaved_torch_operator(width: int) -> None:
    arguments = (*(each.requires_grad_() for each in inputs(width=width)), 2)
    torch.library.opcheck(torch.ops.midframe.local_correlation.default, arguments)


FEATURES = torch.rand(1, 3, 4, 5)
BAD = {
    "of one shape (N, C, H, W) are needed": (FEATURES[0], FEATURES[0], 1),
    "of one shape (N, C, H, W) are needed, got torch.Size([1, 0": (
        FEATURES[:, :0], FEATURES[:, :0], 1,
    ),
    "of one type on one device": (FEATURES, FEATURES.to("meta"), 1),
    "floating features": (FEATURES.byte(), FEATURES.byte(), 1),
    "radius is 0: 1 or more": (FEATURES, FEATURES, 0),
}  # fmt: skip


@pytest.mark.parametrize("complaint", BAD)
def test_each_size_type_and_device_is_checked(complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        local_correlation(*BAD[complaint])


@pytest.mark.parametrize("radius", [1, 8, 9])
def test_all_radii_are_accepted(radius: int) -> None:
    exact = FEATURES.double()
    found = local_correlation(exact, exact, radius)
    torch.testing.assert_close(found, slow(exact, exact, radius), atol=1e-12, rtol=0)


def test_the_cpu_has_its_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert op.load_halide() is halide
    assert op._implementation(FEATURES) is halide
    assert op._implementation(FEATURES.double()) is reference
    monkeypatch.setattr(op, "for_device", lambda *_: None)
    assert op._implementation(FEATURES) is reference


def test_gradients_are_computed_from_a_contiguous_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []

    class Recorder:
        correlation_forward = staticmethod(reference.correlation_forward)

        def correlation_gradients(self, gradient: Tensor, *given: Any) -> Any:
            found.append(gradient.is_contiguous())
            return reference.correlation_gradients(gradient, *given)

    monkeypatch.setattr(op, "_implementation", lambda _: Recorder())
    first, second = (each.requires_grad_() for each in inputs())
    local_correlation(first, second, 1).sum().backward()
    assert found == [True]


@pytest.mark.parametrize("exporting", [False, True])
def test_the_plain_form_is_exported_and_used_without_compilation(
    exporting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("the operator is called")

    monkeypatch.setattr(op, "_correlation", fail)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exporting)
    first, second = inputs()
    with nullcontext() if exporting else without_compilation():
        found = local_correlation(first, second, 2)
    assert torch.equal(found, reference.correlation_forward(first, second, 2))


def test_wrong_tensors_are_refused_with_what_was_given() -> None:
    first, second = inputs()
    with pytest.raises(ValueError, match="of one shape"):
        local_correlation(first, second[..., 1:], 1)
    with pytest.raises(ValueError, match=r"of one type.*float64"):
        local_correlation(first, second.double(), 1)
    with pytest.raises(ValueError, match="radius is 0"):
        local_correlation(first, second, 0)
