"""All operators with `torch.func`, forward-mode derivatives, 16-bit types and empty batches."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from midframe.ops import (
    adaptive_convolution,
    flow_separable_convolution,
    local_correlation,
    separable_convolution,
)
from midframe.ops.adaptive import op as adaptive_op
from midframe.ops.correlation import op as correlation_op
from midframe.ops.dispatch import without_compilation
from midframe.ops.flow_separable import op as flow_separable_op
from midframe.ops.separable import op as separable_op

Operator = Callable[..., Tensor]
KERNEL = (3, 2, 3)
"""Taps, height and width."""
CASES: dict[str, tuple[ModuleType, Operator, list[tuple[int, ...]]]] = {
    "separable": (separable_op, separable_convolution, [(2, 4, 5), KERNEL, KERNEL]),
    "adaptive": (adaptive_op, adaptive_convolution, [(2, 1, 4, 5), (2, 3, 3, 2, 3)]),
    "linear": (
        flow_separable_op,
        flow_separable_convolution,
        [(2, 3, 4), (2, 2, 3), KERNEL, KERNEL],
    ),
    "cubic": (
        flow_separable_op,
        partial(flow_separable_convolution, resampling="cubic"),
        [(1, 3, 4), (2, 2, 3), (1, 2, 3), (1, 2, 3)],
    ),
    "correlation": (
        correlation_op,
        partial(local_correlation, radius=1),
        [(2, 2, 3), (2, 2, 3)],
    ),
}
pytestmark = [
    pytest.mark.parametrize("name", CASES),
    # PyTorch loads its forward-mode derivatives with it
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
]


def inputs(name: str, *batch: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return inputs with batch axes of the given sizes."""
    generator = torch.Generator().manual_seed(0)
    shapes = CASES[name][2]
    return [torch.rand(*batch, *shape, generator=generator).to(dtype) for shape in shapes]


def test_forward_mode_derivatives_pass_gradcheck(name: str) -> None:
    arguments = [each.requires_grad_() for each in inputs(name, 1)]
    assert torch.autograd.gradcheck(CASES[name][1], arguments, check_forward_ad=True)


def test_jvp_and_vjp_are_adjoint(name: str) -> None:
    operator, arguments = CASES[name][1], tuple(inputs(name, 2))
    tangents = tuple(torch.randn_like(each) for each in arguments)
    result, tangent = torch.func.jvp(operator, arguments, tangents)
    assert torch.allclose(result, operator(*arguments))
    cotangent = torch.randn_like(result)
    gradients = torch.func.vjp(operator, *arguments)[1](cotangent)
    products = [(a * b).sum() for a, b in zip(tangents, gradients, strict=True)]
    assert torch.allclose((tangent * cotangent).sum(), sum(products))


def test_vmap_equals_a_loop(name: str) -> None:
    operator, arguments = CASES[name][1], inputs(name, 2, 1)
    expected = torch.stack([operator(*each) for each in zip(*arguments, strict=True)])
    assert torch.allclose(torch.vmap(operator)(*arguments), expected)
    last = [each.movedim(0, -1) for each in arguments]
    mapped = torch.vmap(operator, in_dims=(-1,) * len(last), out_dims=-1)(*last)
    assert torch.allclose(mapped.movedim(-1, 0), expected)
    in_dims = (0, *[None] * (len(arguments) - 1))
    fixed = [arguments[0], *(each[0] for each in arguments[1:])]
    expected = torch.stack([operator(each, *fixed[1:]) for each in arguments[0]])
    assert torch.allclose(torch.vmap(operator, in_dims=in_dims)(*fixed), expected)


def test_vmap_of_gradients_equals_a_loop(name: str) -> None:
    operator, arguments = CASES[name][1], inputs(name, 2, 1)

    def total(*each: Tensor) -> Tensor:
        return operator(*each).square().sum()

    gradients = torch.func.grad(total, argnums=tuple(range(len(arguments))))
    expected = [gradients(*each) for each in zip(*arguments, strict=True)]
    for actual, loop in zip(
        torch.vmap(gradients)(*arguments), zip(*expected, strict=True), strict=True
    ):
        assert torch.allclose(actual, torch.stack(loop))


def test_jacobians_of_both_modes_are_equal(name: str) -> None:
    operator, arguments = CASES[name][1], inputs(name, 1)
    for index in range(len(arguments)):
        reverse = torch.func.jacrev(operator, argnums=index)(*arguments)
        assert torch.allclose(torch.func.jacfwd(operator, argnums=index)(*arguments), reverse)


def test_batched_gradients_equal_single_ones(name: str) -> None:
    operator, arguments = CASES[name][1], [each.requires_grad_() for each in inputs(name, 1)]
    result = operator(*arguments)
    cotangents = torch.randn(3, *result.shape, dtype=result.dtype)
    together = torch.autograd.grad(
        result, arguments, cotangents, is_grads_batched=True, retain_graph=True
    )
    for index, cotangent in enumerate(cotangents):
        alone = torch.autograd.grad(result, arguments, cotangent, retain_graph=True)
        assert all(torch.allclose(a[index], b) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_is_computed_in_float32_on_the_cpu(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, operator, _ = CASES[name]
    dtypes = set()

    def choose(frame: Tensor, *kernels: Tensor) -> Any:
        dtypes.add(frame.dtype)
        return module.reference

    monkeypatch.setattr(module, "_implementation", choose)
    arguments = [each.requires_grad_() for each in inputs(name, 1, dtype=dtype)]
    float32_inputs = [each.detach().float().requires_grad_() for each in arguments]
    result, expected = operator(*arguments), operator(*float32_inputs)
    assert torch.equal(result, expected.to(dtype))
    cotangent = torch.randn_like(result)
    result.backward(cotangent)
    expected.backward(cotangent.float())
    for actual, expected in zip(arguments, float32_inputs, strict=True):
        assert torch.allclose(actual.grad, expected.grad.to(dtype), rtol=1e-2, atol=1e-2)
    assert dtypes == {torch.float32}


def test_exports_consist_of_pytorch_operators(name: str) -> None:
    operator, arguments = CASES[name][1], tuple(inputs(name, 1, dtype=torch.float32))

    class Module(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return operator(*tensors)

    program = torch.export.export(Module(), arguments)
    assert "midframe" not in str(program.graph)
    with without_compilation():
        torch.testing.assert_close(program.module()(*arguments), operator(*arguments))


def test_an_empty_batch_gives_an_empty_result(name: str) -> None:
    operator, arguments = CASES[name][1], [each.requires_grad_() for each in inputs(name, 0)]
    result = operator(*arguments)
    assert result.shape == (0, *operator(*inputs(name, 1)).shape[1:])
    result.sum().backward()
    assert all(each.grad.shape == each.shape for each in arguments)
