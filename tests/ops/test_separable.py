import re
from typing import Any

import pytest
import torch
from helpers.operators import check_dispatch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from midframe.ops import separable_convolution
from midframe.ops.separable import halide, op, reference, triton

TYPES = [torch.float32, torch.bfloat16]
DEVICE = {triton: "cuda" if torch.cuda.is_available() else "cpu"}
"""Without a GPU Triton's interpreter runs its kernels on the CPU."""


def on_device(module: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(each.to(DEVICE.get(module, "cpu")) for each in tensors)


def inputs(
    n: int = 1,
    c: int = 3,
    taps: int = 5,
    height: int = 7,
    width: int = 18,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frame = torch.rand(n, c, height + taps - 1, width + taps - 1, generator=generator)
    kernels = [torch.randn(n, taps, height, width, generator=generator).to(dtype) for _ in range(2)]
    return frame, kernels[0], kernels[1]


def slow_loop(frame: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Compute the result by its definition, one output value at a time."""
    count, taps, height, width = vertical.shape
    result = torch.zeros(count, frame.shape[1], height, width, dtype=torch.float64)
    for n, c, y, x in torch.cartesian_prod(*(torch.arange(size) for size in result.shape)).tolist():
        patch = frame[n, c, y : y + taps, x : x + taps].double()
        result[n, c, y, x] = vertical[n, :, y, x].double() @ patch @ horizontal[n, :, y, x].double()
    return result


def test_shape_and_type_follow_the_frame() -> None:
    result = separable_convolution(*inputs(n=2, c=4, height=6, width=20))
    assert result.shape == (2, 4, 6, 20)
    assert result.dtype == torch.float32


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, -2), (-2, 2)])
def test_a_delta_kernel_shifts_the_frame(down: int, right: int) -> None:
    frame, vertical, horizontal = inputs()
    vertical, horizontal = torch.zeros_like(vertical), torch.zeros_like(horizontal)
    vertical[:, 2 + down], horizontal[:, 2 + right] = 1, 1
    expected = frame[:, :, 2 + down : 9 + down, 2 + right : 20 + right]
    assert torch.equal(separable_convolution(frame, vertical, horizontal), expected)


def test_a_constant_kernel_equals_an_ordinary_convolution() -> None:
    frame, _, _ = inputs(c=1)
    column, row = torch.randn(5), torch.randn(5)
    result = separable_convolution(
        frame, column[:, None, None].expand(1, 5, 7, 18), row[:, None, None].expand(1, 5, 7, 18)
    )
    expected = functional.conv2d(frame, torch.outer(column, row)[None, None])
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("module", [halide, reference, triton])
@pytest.mark.parametrize("dtype", TYPES)
@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(1, 3),
    c=st.integers(1, 7),
    taps=st.sampled_from([1, 3, 5, 9]),
    height=st.integers(1, 10),
    width=st.integers(1, 35),
)
def test_every_implementation_equals_the_slow_loop(
    module: Any, dtype: torch.dtype, n: int, c: int, taps: int, height: int, width: int
) -> None:
    if DEVICE.get(module) == "cpu":  # the interpreter is slow
        n, c, height = min(n, 2), min(c, 4), min(height, 3)
    arguments = inputs(n, c, taps, height, width, dtype)
    result = module.separable_forward(*on_device(module, *arguments)).cpu()
    torch.testing.assert_close(result.double(), slow_loop(*arguments), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("module", [halide, triton])
@pytest.mark.parametrize("dtype", TYPES)
@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(1, 3),
    c=st.integers(1, 7),
    taps=st.sampled_from([1, 3, 7, 51]),
    height=st.integers(1, 9),
    width=st.integers(1, 35),
)
def test_gradients_of_fast_implementations_equal_the_reference(
    module: Any, dtype: torch.dtype, n: int, c: int, taps: int, height: int, width: int
) -> None:
    if DEVICE.get(module) == "cpu":  # the interpreter is slow
        n, c, taps, height = 1, min(c, 3), min(taps, 5), min(height, 2)
    frame, vertical, horizontal = inputs(n, c, taps, height, width, dtype)
    arguments = (torch.randn(n, c, height, width), frame, vertical, horizontal)
    tolerance = (
        {"atol": 2e-3, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 0.1, "rtol": 2e-2}
    )
    arguments_on_device = on_device(module, *arguments)
    for gradient, expected in zip(
        module.separable_kernel_gradients(*arguments_on_device),
        reference.separable_kernel_gradients(*arguments),
        strict=True,
    ):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient.cpu(), expected, **tolerance)
    gradient, expected = (
        module.separable_frame_gradient(*arguments_on_device),
        reference.separable_frame_gradient(*arguments),
    )
    torch.testing.assert_close(gradient.cpu(), expected, atol=2e-3, rtol=1e-4)


def test_frames_may_have_more_channels_than_rows() -> None:
    arguments = inputs(c=7, taps=3, height=2, width=3)
    gradient = torch.randn(1, 7, 2, 3)
    result = [
        halide.separable_forward(*arguments),
        halide.separable_frame_gradient(gradient, *arguments),
        *halide.separable_kernel_gradients(gradient, *arguments),
    ]
    expected = [
        reference.separable_forward(*arguments),
        reference.separable_frame_gradient(gradient, *arguments),
        *reference.separable_kernel_gradients(gradient, *arguments),
    ]
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    assert all(each.is_contiguous() for each in result)


@pytest.mark.parametrize("spare", [0, 5])
def test_triton_accepts_kernels_of_any_memory_layout(spare: int) -> None:
    frame, vertical, horizontal = inputs(n=2, taps=3, height=3, width=9)
    gradient = torch.randn(2, 3, 3, 9)
    padded = torch.cat((vertical, torch.ones(2, spare, 3, 9)), dim=1)
    channels_last = padded.contiguous(memory_format=torch.channels_last)[
        :, :3
    ]  # with gaps if there are spare taps
    arguments = on_device(
        triton, gradient, frame.contiguous(memory_format=torch.channels_last), channels_last
    )
    (rows,) = on_device(triton, horizontal)
    expected = slow_loop(frame, vertical, horizontal)
    torch.testing.assert_close(
        triton.separable_forward(*arguments[1:], rows).cpu().double(),
        expected,
        atol=1e-5,
        rtol=1e-4,
    )
    frame_gradient = triton.separable_frame_gradient(*arguments, rows)
    expected_frame_gradient = reference.separable_frame_gradient(
        gradient, frame, vertical, horizontal
    )
    torch.testing.assert_close(
        frame_gradient.cpu(), expected_frame_gradient, check_stride=False, atol=1e-5, rtol=1e-4
    )
    vertical_gradient, horizontal_gradient = triton.separable_kernel_gradients(*arguments, rows)
    expected_kernel_gradients = reference.separable_kernel_gradients(
        gradient, frame, vertical, horizontal
    )
    torch.testing.assert_close(
        (vertical_gradient.cpu(), horizontal_gradient.cpu()),
        expected_kernel_gradients,
        check_stride=False,
        atol=1e-5,
        rtol=1e-4,
    )


def test_the_longest_kernels_equal_the_slow_loop() -> None:
    arguments = inputs(taps=63, height=5, width=17)
    torch.testing.assert_close(
        separable_convolution(*arguments).double(), slow_loop(*arguments), atol=1e-3, rtol=1e-4
    )


def test_gradients_pass_gradcheck_in_float64() -> None:
    frame, vertical, horizontal = (
        each.double().requires_grad_() for each in inputs(n=2, taps=3, height=3, width=4)
    )
    assert torch.autograd.gradcheck(separable_convolution, (frame, vertical, horizontal))


def test_gradients_by_halide_equal_those_in_float64() -> None:
    frame, vertical, horizontal = (
        each.requires_grad_() for each in inputs(n=1, c=2, taps=3, height=4, width=17)
    )
    weight = torch.randn(1, 2, 4, 17)
    gradients = torch.autograd.grad(
        (separable_convolution(frame, vertical, horizontal) * weight).sum(),
        (frame, vertical, horizontal),
    )
    exact = [each.detach().double().requires_grad_() for each in (frame, vertical, horizontal)]
    expected_gradients = torch.autograd.grad(
        (separable_convolution(*exact) * weight.double()).sum(), exact
    )
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), expected, atol=1e-4, rtol=1e-4)


def test_the_operator_passes_opcheck() -> None:
    arguments = tuple(each.requires_grad_() for each in inputs(taps=3, height=4, width=16))
    torch.library.opcheck(torch.ops.midframe.separable_convolution.default, arguments)


def test_the_operator_supports_fake_tensors() -> None:
    with torch._subclasses.FakeTensorMode():
        result = separable_convolution(
            torch.empty(1, 3, 10, 20), torch.empty(1, 5, 6, 16), torch.empty(1, 5, 6, 16)
        )
    assert result.shape == (1, 3, 6, 16)


@pytest.mark.slow
def test_the_operator_compiles_without_a_graph_break() -> None:
    compiled = torch.compile(separable_convolution, fullgraph=True, backend="aot_eager")
    arguments = inputs()
    torch.testing.assert_close(compiled(*arguments), separable_convolution(*arguments))


def test_autocast_does_not_convert_kernels_and_the_result_is_float32() -> None:
    frame, vertical, horizontal = inputs(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        result = separable_convolution(frame, vertical, horizontal)
    assert result.dtype == torch.float32
    torch.testing.assert_close(
        result.double(), slow_loop(frame, vertical, horizontal), atol=1e-4, rtol=1e-4
    )


def test_channels_last_inputs_give_the_same_result() -> None:
    frame, vertical, horizontal = inputs(n=2)
    channels_last = [
        each.contiguous(memory_format=torch.channels_last) for each in (frame, vertical, horizontal)
    ]
    assert torch.equal(
        separable_convolution(*channels_last), separable_convolution(frame, vertical, horizontal)
    )


INVALID = {
    "rank": (torch.rand(3, 9, 9), torch.rand(1, 3, 7, 7), torch.rand(1, 3, 7, 7)),
    "one shape": (torch.rand(1, 3, 9, 9), torch.rand(1, 3, 7, 7), torch.rand(1, 5, 7, 7)),
    "odd": (torch.rand(1, 3, 10, 10), torch.rand(1, 4, 7, 7), torch.rand(1, 4, 7, 7)),
    "padded by 1": (torch.rand(1, 3, 7, 7), torch.rand(1, 3, 7, 7), torch.rand(1, 3, 7, 7)),
    "floating": (
        torch.ones(1, 3, 9, 9, dtype=torch.uint8),
        torch.rand(1, 3, 7, 7),
        torch.rand(1, 3, 7, 7),
    ),
    "of one type": (
        torch.rand(1, 3, 9, 9),
        torch.rand(1, 3, 7, 7),
        torch.rand(1, 3, 7, 7).double(),
    ),
    "empty": (torch.rand(1, 0, 9, 9), torch.rand(1, 3, 7, 7), torch.rand(1, 3, 7, 7)),
    "one device": (
        torch.rand(1, 3, 9, 9),
        torch.rand(1, 3, 7, 7, device="meta"),
        torch.rand(1, 3, 7, 7, device="meta"),
    ),
}


FRAME, KERNEL = torch.rand(1, 3, 9, 9), torch.rand(1, 3, 7, 7)
INVALID_SIZES = {
    "rank 4 are needed, got frame (1, 3, 9, 9), vertical (3, 7, 7)": (FRAME, KERNEL[0], KERNEL),
    "rank 4 are needed, got frame (1, 3, 9, 9), vertical (1, 3": (FRAME, KERNEL, KERNEL[0]),
    "padded by 1 to (1, C, 9, 9), got frame (2": (torch.rand(2, 3, 9, 9), KERNEL, KERNEL),
    "padded by 1 to (1, C, 9, 9), got frame (1, 3, 9, 8)": (FRAME[..., 1:], KERNEL, KERNEL),
    "padded by 1 to (1, C, 9, 9), got frame (1, 3, 8, 9)": (FRAME[:, :, 1:], KERNEL, KERNEL),
    "floating tensors are needed": (FRAME, KERNEL.byte(), KERNEL.byte()),
    "one device, got cpu, cpu, meta": (FRAME, KERNEL, KERNEL.to("meta")),
}


@pytest.mark.parametrize("message", INVALID_SIZES)
def test_each_size_type_and_device_is_checked(message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        separable_convolution(*INVALID_SIZES[message])


def test_kernels_beyond_the_fast_implementations_are_accepted() -> None:
    frame = torch.rand(1, 1, 68, 69)
    kernel = torch.zeros(1, op.MAX_TAPS + 2, 4, 5)
    kernel[:, op.MAX_TAPS] = 1  # the second to last tap
    shifted = frame[..., op.MAX_TAPS :, op.MAX_TAPS :][..., :4, :5]
    assert torch.equal(separable_convolution(frame, kernel, kernel), shifted)


def test_each_device_has_its_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    check_dispatch(op, halide, triton, reference, (FRAME, KERNEL), monkeypatch)


@pytest.mark.parametrize(
    ("needed", "expected"), [(0, ["frame"]), (1, ["kernels"]), (2, ["kernels"])]
)
def test_only_needed_gradients_are_computed_from_a_contiguous_one(
    needed: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    class Recorder:
        separable_forward = staticmethod(reference.separable_forward)

        def separable_frame_gradient(self, gradient: Tensor, frame: Tensor, *_: Any) -> Tensor:
            assert gradient.is_contiguous()
            computed.append("frame")
            return torch.zeros_like(frame)

        def separable_kernel_gradients(self, gradient: Tensor, *arguments: Tensor) -> Any:
            assert gradient.is_contiguous()
            computed.append("kernels")
            return torch.zeros_like(arguments[1]), torch.zeros_like(arguments[2])

    def choose(frame: Tensor, kernel: Tensor) -> Recorder:
        assert (frame.shape, kernel.shape) == (arguments[0].shape, arguments[1].shape)
        return Recorder()

    monkeypatch.setattr(op, "_implementation", choose)
    arguments = inputs()
    arguments[needed].requires_grad_()
    separable_convolution(*arguments).sum().backward()
    assert computed == expected


def test_the_reference_computes_in_float64_on_the_device_of_its_inputs() -> None:
    arguments = [each.double() for each in inputs(n=2, taps=3, height=2, width=3)]
    gradient = torch.randn(2, 3, 2, 3, dtype=torch.float64)
    gradients = (
        reference.separable_frame_gradient(gradient, *arguments),
        *reference.separable_kernel_gradients(gradient, *arguments),
    )
    result = reference.separable_forward(*(each.requires_grad_() for each in arguments))
    torch.testing.assert_close(result.detach(), slow_loop(*arguments).detach(), atol=1e-12, rtol=0)
    torch.testing.assert_close(gradients, torch.autograd.grad(result, arguments, gradient))
    meta = [each.detach().to("meta") for each in (gradient, *arguments)]
    assert reference.separable_forward(*meta[1:]).is_meta
    assert reference.separable_frame_gradient(*meta).is_meta
    assert all(each.is_meta for each in reference.separable_kernel_gradients(*meta))


@pytest.mark.parametrize("message", INVALID)
def test_invalid_tensors_are_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        separable_convolution(*INVALID[message])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_the_cpu() -> None:
    arguments = inputs(n=2, taps=51, height=20, width=30)
    result = separable_convolution(*(each.cuda() for each in arguments))
    torch.testing.assert_close(
        result.cpu(), separable_convolution(*arguments), atol=1e-3, rtol=1e-4
    )
