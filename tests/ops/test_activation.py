from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from midframe.ops.activation import bias_activation, can_fuse, convolve, op, triton

pytest.importorskip("triton")
SHAPES = [(1, 1, 1, 1), (2, 5, 7, 9), (3, 32, 16, 17), (1, 160, 6, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("added", [False, True])
def test_triton_adds_bias_and_activates_as_pytorch_does(
    shape: tuple[int, ...], added: bool
) -> None:
    torch.manual_seed(0)
    given = [torch.randn(shape, requires_grad=True), torch.randn(shape[1], requires_grad=True)]
    beside = torch.randn(shape, requires_grad=True) if added else None
    inputs = [*given, beside] if beside is not None else given
    gradient = torch.randn(shape)
    results = []
    for function in (triton.bias_activation, bias_activation):
        result = function(*given, 0.1, beside)
        results.append((result, torch.autograd.grad(result, inputs, gradient)))
    (fast, of_fast), (plain, of_plain) = results
    assert torch.allclose(fast, plain, atol=1e-6)
    for one, other in zip(of_fast, of_plain, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_a_bias_is_added_before_the_activation() -> None:
    outputs = torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2)
    result = bias_activation(outputs, torch.tensor([1.0]), 0.5)
    assert result.flatten().tolist() == [-0.5, 4.0]
    layer = functional.leaky_relu(outputs + 1, 0.5)
    assert torch.equal(result, layer)


@pytest.mark.parametrize(("stride", "size"), [(1, (5, 7)), (2, (3, 4))])
@pytest.mark.parametrize("added", [False, True])
def test_a_convolution_pads_with_zeros_and_ends_with_the_activation(
    stride: int, size: tuple[int, int], added: bool
) -> None:
    torch.manual_seed(0)
    features, weight, bias = torch.randn(2, 3, 5, 7), torch.randn(4, 3, 3, 3), torch.randn(4)
    beside = torch.randn(2, 4, *size) if added else None
    result = convolve(features, weight, bias, 0.1, stride, beside)
    total = functional.conv2d(functional.pad(features, [1] * 4), weight, bias, stride)
    expected = functional.leaky_relu(total if beside is None else total + beside, 0.1)
    torch.testing.assert_close(result, expected)


def test_the_bias_is_converted_to_the_type_of_the_outputs() -> None:
    outputs = torch.randn(2, 8, 5, 5).bfloat16()
    assert bias_activation(outputs, torch.randn(8), 0.1).dtype == torch.bfloat16


def test_the_fused_form_is_for_cuda_outside_of_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = (
        SimpleNamespace(is_cuda=cuda, device=torch.device("cpu")) for cuda in (False, True)
    )
    assert [can_fuse(each) for each in (here, there)] == [False, True]
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert [can_fuse(each) for each in (here, there)] == [False, False]


@pytest.mark.parametrize("supported", [True, False])
def test_outputs_that_triton_supports_are_given_to_it(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert op.load_triton() is triton
    fused = SimpleNamespace(
        supports=lambda _: supported, bias_activation=lambda *given: ("fused", given)
    )
    monkeypatch.setattr(op, "can_fuse", lambda _: True)
    monkeypatch.setattr(op, "for_device", lambda loaders, _: loaders["cuda"] and fused)
    outputs, bias, beside = torch.ones(1, 2, 3, 3), torch.zeros(2), torch.ones(1, 2, 3, 3)
    result = bias_activation(outputs, bias, 0.1, beside)
    if supported:
        assert result == ("fused", (outputs, bias, 0.1, beside))
    else:
        assert torch.equal(result, outputs + beside)


def test_bfloat16_outputs_keep_their_type() -> None:
    outputs = torch.randn(2, 8, 5, 5).bfloat16()
    result = triton.bias_activation(outputs, torch.randn(8), 0.1)
    assert result.dtype == torch.bfloat16
