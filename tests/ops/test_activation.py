from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from midframe.ops.activation import bias_activation, can_fuse, convolve, op, triton

pytest.importorskip("triton")
SHAPES = [(1, 1, 1, 1), (2, 5, 7, 9), (3, 32, 16, 17), (1, 160, 6, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_residual", [False, True])
def test_the_triton_activation_equals_the_reference(
    shape: tuple[int, ...], with_residual: bool
) -> None:
    torch.manual_seed(0)
    arguments = [torch.randn(shape, requires_grad=True), torch.randn(shape[1], requires_grad=True)]
    residual = torch.randn(shape, requires_grad=True) if with_residual else None
    inputs = [*arguments, residual] if residual is not None else arguments
    gradient = torch.randn(shape)
    results = []
    for function in (triton.bias_activation, bias_activation):
        result = function(*arguments, 0.1, residual)
        results.append((result, torch.autograd.grad(result, inputs, gradient)))
    (output, gradients), (expected, expected_gradients) = results
    assert torch.allclose(output, expected, atol=1e-6)
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_the_bias_is_added_before_the_activation() -> None:
    outputs = torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2)
    result = bias_activation(outputs, torch.tensor([1.0]), 0.5)
    assert result.flatten().tolist() == [-0.5, 4.0]
    layer = functional.leaky_relu(outputs + 1, 0.5)
    assert torch.equal(result, layer)


@pytest.mark.parametrize(("stride", "size"), [(1, (5, 7)), (2, (3, 4))])
@pytest.mark.parametrize("with_residual", [False, True])
def test_a_convolution_pads_with_zeros_and_applies_the_activation(
    stride: int, size: tuple[int, int], with_residual: bool
) -> None:
    torch.manual_seed(0)
    features, weight, bias = torch.randn(2, 3, 5, 7), torch.randn(4, 3, 3, 3), torch.randn(4)
    residual = torch.randn(2, 4, *size) if with_residual else None
    result = convolve(features, weight, bias, 0.1, stride, residual)
    total = functional.conv2d(functional.pad(features, [1] * 4), weight, bias, stride)
    expected = functional.leaky_relu(total if residual is None else total + residual, 0.1)
    torch.testing.assert_close(result, expected)


def test_the_result_has_the_data_type_of_the_input() -> None:
    outputs = torch.randn(2, 8, 5, 5).bfloat16()
    assert bias_activation(outputs, torch.randn(8), 0.1).dtype == torch.bfloat16


def test_the_fused_activation_is_used_on_cuda_but_not_in_exports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_cpu, on_cuda = (
        SimpleNamespace(is_cuda=cuda, device=torch.device("cpu")) for cuda in (False, True)
    )
    assert [can_fuse(each) for each in (on_cpu, on_cuda)] == [False, True]
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert [can_fuse(each) for each in (on_cpu, on_cuda)] == [False, False]


@pytest.mark.parametrize("supported", [True, False])
def test_the_triton_activation_is_used_for_tensors_that_it_supports(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert op.load_triton() is triton
    fused = SimpleNamespace(
        supports=lambda _: supported, bias_activation=lambda *arguments: ("fused", arguments)
    )
    monkeypatch.setattr(op, "can_fuse", lambda _: True)
    monkeypatch.setattr(op, "for_device", lambda loaders, _: loaders["cuda"] and fused)
    outputs, bias, residual = torch.ones(1, 2, 3, 3), torch.zeros(2), torch.ones(1, 2, 3, 3)
    result = bias_activation(outputs, bias, 0.1, residual)
    if supported:
        assert result == ("fused", (outputs, bias, 0.1, residual))
    else:
        assert torch.equal(result, outputs + residual)


def test_the_triton_activation_keeps_bfloat16() -> None:
    outputs = torch.randn(2, 8, 5, 5).bfloat16()
    result = triton.bias_activation(outputs, torch.randn(8), 0.1)
    assert result.dtype == torch.bfloat16
