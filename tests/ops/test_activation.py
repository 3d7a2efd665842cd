import pytest
import torch
from torch.nn import functional

from midframe.ops.activation import bias_activation, triton

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


def test_bfloat16_outputs_keep_their_type() -> None:
    outputs = torch.randn(2, 8, 5, 5).bfloat16()
    result = triton.bias_activation(outputs, torch.randn(8), 0.1)
    assert result.dtype == torch.bfloat16
