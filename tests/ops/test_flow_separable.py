"""Separable convolution along a flow: known values, a slow loop, gradients, errors,
implementations."""

import math
import re
from functools import partial
from typing import Any

import pytest
import torch
from helpers.operators import check_dispatch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from midframe.ops import flow_separable_convolution, separable_convolution
from midframe.ops.dispatch import without_compilation
from midframe.ops.flow_separable import halide, op, reference, triton
from midframe.ops.resampling import RESAMPLINGS, Resampling

TYPES = [torch.float32, torch.bfloat16]
DEVICE = {triton: "cuda" if torch.cuda.is_available() else "cpu"}
"""Without a GPU Triton's interpreter runs its kernels on the CPU."""
SIZES = {
    "n": st.integers(1, 2),
    "c": st.integers(1, 5),
    "taps": st.sampled_from([1, 3, 5]),
    "height": st.integers(1, 4),
    "width": st.integers(1, 20),
    "resampling": st.sampled_from(RESAMPLINGS),
}


def inputs(
    n: int = 1,
    c: int = 3,
    taps: int = 5,
    height: int = 6,
    width: int = 18,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return inputs whose flows lead partly out of the frame; frame and flow differ in size."""
    generator = torch.Generator().manual_seed(0)
    frame = torch.rand(n, c, height + 3, width + 2, generator=generator)
    flow = torch.randn(n, 2, height, width, generator=generator) * 4
    kernels = [torch.randn(n, taps, height, width, generator=generator).to(dtype) for _ in range(2)]
    return frame, flow, kernels[0], kernels[1]


def slow_loop(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str = "linear"
) -> Tensor:
    """Compute the result by its definition, one output pixel and one tap at a time."""
    count, taps, height, width = vertical.shape
    result = torch.zeros(count, frame.shape[1], height, width, dtype=torch.float64)
    for n, y, x in torch.cartesian_prod(
        *(torch.arange(size) for size in (count, height, width))
    ).tolist():
        for i in range(taps):
            for j in range(taps):
                weight = (vertical[n, i, y, x].double() * horizontal[n, j, y, x].double()).item()
                position = (
                    y + flow[n, 1, y, x].item() + i - taps // 2,
                    x + flow[n, 0, y, x].item() + j - taps // 2,
                )
                result[n, :, y, x] += weight * sample(frame[n].double(), *position, resampling)
    return result


def sample(frame: Tensor, y: float, x: float, resampling: str) -> Tensor:
    top, left = math.floor(y), math.floor(x)
    total = torch.zeros(len(frame), dtype=torch.float64)
    for row in range(top - 1, top + 3):
        for column in range(left - 1, left + 3):
            clamped = (
                min(max(row, 0), frame.shape[1] - 1),
                min(max(column, 0), frame.shape[2] - 1),
            )
            weight = PROFILES[resampling](abs(y - row)) * PROFILES[resampling](abs(x - column))
            total += weight * frame[:, clamped[0], clamped[1]]
    return total


def keys(distance: float, a: float = -0.5) -> float:
    """Return the weight of a pixel by equation 15 of Keys (1981), for any a (equation 8)."""
    d = distance
    if d < 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


PROFILES = {"linear": lambda distance: max(0.0, 1 - distance), "cubic": keys}
"""The weight of a pixel by its distance along one axis."""


@pytest.mark.slow
@pytest.mark.parametrize("module", [halide, reference, triton])
@pytest.mark.parametrize("dtype", TYPES)
@settings(max_examples=12, deadline=None)
@given(**SIZES)
def test_every_implementation_equals_the_slow_loop(
    module: Any, dtype: torch.dtype, resampling: str, **sizes: int
) -> None:
    arguments = inputs(**sizes, dtype=dtype)
    on_device = [each.to(DEVICE.get(module, "cpu")) for each in arguments]
    result = module.flow_separable_forward(*on_device, resampling).cpu()
    torch.testing.assert_close(
        result.double(), slow_loop(*arguments, resampling), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("module", [halide, reference, triton])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.filterwarnings(
    "ignore:invalid value encountered:RuntimeWarning"
)  # from the interpreter
def test_pixels_whose_flow_is_not_finite_are_nan(module: Any, resampling: Resampling) -> None:
    frame, flow, *kernels = inputs(taps=3, height=3)
    flow[0, 0, 0, 1], flow[0, 1, 1, 2], flow[0, 0, 2, 3] = math.nan, math.inf, -math.inf
    finite = flow.isfinite().all(1)[:, None].expand(-1, 3, -1, -1)
    on_device = [each.to(DEVICE.get(module, "cpu")) for each in (frame, flow, *kernels)]
    result = module.flow_separable_forward(*on_device, resampling).cpu()
    expected = reference.flow_separable_forward(
        frame, flow.where(finite[:, :2], 0.0), *kernels, resampling
    )
    torch.testing.assert_close(
        result, expected.where(finite, math.nan), equal_nan=True, atol=1e-4, rtol=1e-4
    )
    gradients = module.flow_separable_gradients(
        torch.ones_like(result).to(on_device[0]), *on_device, resampling
    )
    assert all(each.cpu().movedim(1, -1)[finite[:, 0]].isfinite().all() for each in gradients)
    module.flow_separable_frame_gradient(
        torch.ones_like(result).to(on_device[0]), *on_device, resampling
    )


@pytest.mark.slow
@pytest.mark.parametrize("module", [halide, triton])
@pytest.mark.parametrize("dtype", TYPES)
@settings(max_examples=12, deadline=None)
@given(**SIZES)
def test_gradients_of_fast_implementations_equal_the_reference(
    module: Any, dtype: torch.dtype, resampling: str, **sizes: int
) -> None:
    arguments = inputs(**sizes, dtype=dtype)
    gradient = torch.randn(len(arguments[0]), arguments[0].shape[1], *arguments[1].shape[2:])
    on_device = [each.to(DEVICE.get(module, "cpu")) for each in (gradient, *arguments)]
    frame_gradient = module.flow_separable_frame_gradient(*on_device, resampling).cpu()
    expected = reference.flow_separable_frame_gradient(gradient, *arguments, resampling)
    torch.testing.assert_close(frame_gradient, expected, atol=1e-3, rtol=1e-3)
    gradients = tuple(
        each.cpu() for each in module.flow_separable_gradients(*on_device, resampling)
    )
    expected_gradients = reference.flow_separable_gradients(gradient, *arguments, resampling)
    assert [each.dtype for each in gradients] == [torch.float32, dtype, dtype]
    tolerance = (
        {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 0.1, "rtol": 2e-2}
    )
    torch.testing.assert_close(gradients, expected_gradients, **tolerance)


def test_frames_may_have_more_channels_than_rows_and_flows_in_float64() -> None:
    frame, flow, *kernels = inputs(c=9, taps=1, height=1, width=3)
    arguments = frame, flow.double(), *kernels
    gradient = torch.randn(1, 9, 1, 3)
    result = (
        halide.flow_separable_forward(*arguments, "linear"),
        *halide.flow_separable_gradients(gradient, *arguments, "linear"),
    )
    expected = (
        reference.flow_separable_forward(*arguments, "linear"),
        *reference.flow_separable_gradients(gradient, *arguments, "linear"),
    )
    for one, other in zip(result, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, check_dtype=False)
        assert one.is_contiguous()


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_gradients_pass_gradcheck_in_float64(taps: int, resampling: Resampling) -> None:
    tensors = inputs(n=2, c=2, taps=taps, height=2, width=3)
    arguments = tuple(each.double().requires_grad_() for each in tensors)
    operator = partial(flow_separable_convolution, resampling=resampling)
    assert torch.autograd.gradcheck(operator, arguments)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_gradients_by_halide_equal_those_in_float64(resampling: Resampling) -> None:
    operator = partial(flow_separable_convolution, resampling=resampling)
    arguments = [each.requires_grad_() for each in inputs()]
    weight = torch.randn(1, 3, 6, 18)
    gradients = torch.autograd.grad((operator(*arguments) * weight).sum(), arguments)
    exact = [each.detach().double().requires_grad_() for each in arguments]
    expected_gradients = torch.autograd.grad((operator(*exact) * weight.double()).sum(), exact)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), expected, atol=1e-4, rtol=1e-4)


def test_kernels_of_one_tap_warp_the_frame() -> None:
    frame, flow, _, _ = inputs()
    flow, one = flow[..., :9, :18], torch.ones(1, 1, 6, 18)
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(18.0), indexing="ij")
    x, y = columns + flow[:, 0], rows + flow[:, 1]
    height, width = frame.shape[2:]
    grid = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
    expected = functional.grid_sample(frame, grid, padding_mode="border", align_corners=True)
    torch.testing.assert_close(
        flow_separable_convolution(frame, flow, one, one), expected, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_the_exported_implementation_equals_the_reference(taps: int, resampling: str) -> None:
    arguments = inputs(n=2, taps=taps)
    result = reference.flow_separable_by_sampling(*arguments, resampling)
    expected = reference.flow_separable_forward(*arguments, resampling)
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, -1), (-3, 1)])
def test_a_delta_kernel_and_an_integer_flow_shift_the_frame(
    right: int, down: int, resampling: Resampling
) -> None:
    frame = torch.rand(1, 3, 12, 20)
    flow = torch.tensor([right, down]).float().view(1, 2, 1, 1).expand(1, 2, 12, 20)
    delta = torch.zeros(1, 5, 12, 20)
    delta[:, 2] = 1
    result = flow_separable_convolution(frame, flow, delta, delta, resampling=resampling)
    expected = frame.roll((-down, -right), (2, 3))
    assert torch.equal(result[..., 1:-1, 3:-3], expected[..., 1:-1, 3:-3])


def test_cubic_resampling_preserves_fine_texture_better_than_linear() -> None:
    columns, delta = torch.arange(40.0), torch.ones(1, 1, 1, 40)
    frame = (columns * 1.5).sin().expand(1, 1, 1, 40)
    flow = torch.zeros(1, 2, 1, 40)
    flow[:, 0] = 0.5
    errors = [
        (
            flow_separable_convolution(frame, flow, delta, delta, resampling=each)
            - ((columns + 0.5) * 1.5).sin()
        )
        for each in ("linear", "cubic")
    ]
    linear, cubic = (each[..., 4:-4].abs().max() for each in errors)
    assert cubic < 0.5 * linear


def test_an_unknown_resampling_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="resampling is 'sinc': choose from linear, cubic"):
        flow_separable_convolution(*inputs(), resampling="sinc")  # type: ignore[arg-type]


def test_without_flow_the_result_equals_separable_convolution() -> None:
    _, _, vertical, horizontal = inputs()
    frame = torch.rand(1, 3, 10, 22)
    flow = torch.full((1, 2, 6, 18), 2.0)  # from the corner of the padding to the pixel
    expected = separable_convolution(frame, vertical, horizontal)
    torch.testing.assert_close(
        flow_separable_convolution(frame, flow, vertical, horizontal),
        expected,
        atol=1e-5,
        rtol=1e-5,
    )


def test_huge_flows_are_clamped_to_the_frame() -> None:
    frame, flow, vertical, horizontal = inputs(taps=1)
    flow[:, 0] = 1e12
    result = flow_separable_convolution(
        frame, flow, torch.ones_like(vertical), torch.ones_like(horizontal)
    )
    assert result.isfinite().all()
    assert result.max() <= frame.max() + 1e-5


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_the_operator_passes_opcheck(resampling: str) -> None:
    arguments = (
        *(each.requires_grad_() for each in inputs(taps=3, height=4, width=16)),
        resampling,
    )
    torch.library.opcheck(torch.ops.midframe.flow_separable_convolution.default, arguments)


def test_autocast_does_not_convert_kernels_and_the_result_is_float32() -> None:
    frame, flow, vertical, horizontal = inputs(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        result = flow_separable_convolution(frame, flow.bfloat16(), vertical, horizontal)
    assert result.dtype == torch.float32
    expected = slow_loop(frame, flow.bfloat16().float(), vertical, horizontal)
    torch.testing.assert_close(result.double(), expected, atol=1e-4, rtol=1e-4)


def test_channels_last_inputs_give_the_same_result() -> None:
    arguments = inputs(n=2)
    channels_last = [each.contiguous(memory_format=torch.channels_last) for each in arguments]
    assert torch.equal(
        flow_separable_convolution(*channels_last), flow_separable_convolution(*arguments)
    )


FRAME, FLOW, KERNEL = torch.rand(1, 3, 8, 8), torch.rand(1, 2, 7, 7), torch.rand(1, 3, 7, 7)
INVALID = {
    "rank": (FRAME[0], FLOW, KERNEL, KERNEL),
    "one shape": (FRAME, FLOW, KERNEL, torch.rand(1, 5, 7, 7)),
    "odd": (FRAME, FLOW, torch.rand(1, 4, 7, 7), torch.rand(1, 4, 7, 7)),
    "the flow must be": (FRAME, torch.rand(1, 2, 7, 8), KERNEL, KERNEL),
    "empty": (torch.rand(1, 0, 8, 8), FLOW, KERNEL, KERNEL),
    "floating": (FRAME.byte(), FLOW, KERNEL, KERNEL),
    "of one type": (FRAME, FLOW, KERNEL, KERNEL.double()),
    "one device": (FRAME, FLOW, KERNEL.to("meta"), KERNEL.to("meta")),
}


INVALID_SIZES = {
    "rank 4 are needed": (FRAME, FLOW[0], KERNEL, KERNEL),
    "the flow must be (1, 2, 7, 7), for 1 frames, got frame (2": (
        torch.rand(2, 3, 8, 8), FLOW, KERNEL, KERNEL,
    ),
    "the flow must be (1, 2, 7, 7), for 1 frames, got frame (1": (
        FRAME, torch.rand(1, 3, 7, 7), KERNEL, KERNEL,
    ),
    "empty tensors": (FRAME[..., :0], FLOW, KERNEL, KERNEL),
    "floating tensors are needed": (FRAME, FLOW.byte(), KERNEL, KERNEL),
    "one device, got frame cpu, flow meta": (FRAME, FLOW.to("meta"), KERNEL, KERNEL),
}  # fmt: skip


@pytest.mark.parametrize("message", INVALID_SIZES)
def test_each_size_type_and_device_is_checked(message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        flow_separable_convolution(*INVALID_SIZES[message])


@pytest.mark.parametrize("taps", [op.MAX_TAPS, op.MAX_TAPS + 2])
def test_kernels_beyond_the_fast_implementations_are_accepted(taps: int) -> None:
    arguments = inputs(taps=taps, height=1, width=2)
    result = flow_separable_convolution(*(each.double() for each in arguments))
    torch.testing.assert_close(result, slow_loop(*arguments), atol=1e-4, rtol=1e-4)


def test_each_device_has_its_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    check_dispatch(op, halide, triton, reference, (FRAME, KERNEL), monkeypatch)


@pytest.mark.parametrize(
    ("needed", "expected"), [(0, ["frame"]), (1, ["others"]), (2, ["others"]), (3, ["others"])]
)
def test_only_needed_gradients_are_computed_from_a_contiguous_one(
    needed: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    class Recorder:
        flow_separable_forward = staticmethod(reference.flow_separable_forward)

        def flow_separable_frame_gradient(self, gradient: Tensor, *arguments: Any) -> Tensor:
            assert gradient.is_contiguous()
            computed.append("frame")
            return torch.zeros_like(arguments[0])

        def flow_separable_gradients(self, gradient: Tensor, *arguments: Any) -> Any:
            assert gradient.is_contiguous()
            computed.append("others")
            return tuple(torch.zeros_like(each) for each in arguments[1:4])

    def choose(frame: Tensor, kernel: Tensor) -> Recorder:
        assert (frame.shape, kernel.shape) == (arguments[0].shape, arguments[2].shape)
        return Recorder()

    monkeypatch.setattr(op, "_implementation", choose)
    arguments = inputs()
    arguments[needed].requires_grad_()
    flow_separable_convolution(*arguments).sum().backward()
    assert computed == expected


def test_16_bit_flows_are_converted_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes: list[torch.dtype] = []
    monkeypatch.setattr(
        op, "_flow_separable", lambda *arguments: dtypes.append(arguments[1].dtype) or arguments[0]
    )
    frame, flow, *kernels = inputs()
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        flow_separable_convolution(frame, flow.to(dtype), *kernels)
    assert dtypes == [torch.float32, torch.float32, torch.float32, torch.float64]


def test_standard_operators_are_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("the operator is called")

    monkeypatch.setattr(op, "_flow_separable", fail)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    arguments = inputs(taps=3, height=2, width=3)
    result = flow_separable_convolution(*arguments, resampling="cubic")
    assert torch.equal(result, reference.flow_separable_by_sampling(*arguments, "cubic"))


def test_without_compilation_the_reference_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("the operator is called")

    monkeypatch.setattr(op, "_flow_separable", fail)
    arguments = inputs()
    with without_compilation():
        result = flow_separable_convolution(*arguments, resampling="cubic")
    assert torch.equal(result, reference.flow_separable_forward(*arguments, "cubic"))


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_the_reference_computes_in_float64_on_the_device_of_its_inputs(
    resampling: str,
) -> None:
    tensors = inputs(n=2, taps=3, height=2, width=3)
    arguments = [each.double().requires_grad_() for each in tensors]
    result = reference.flow_separable_forward(*arguments, resampling)
    expected = slow_loop(*(each.detach() for each in arguments), resampling)
    torch.testing.assert_close(result.detach(), expected, atol=1e-12, rtol=0)
    gradient = torch.randn_like(result)
    gradients = (
        reference.flow_separable_frame_gradient(gradient, *arguments, resampling),
        *reference.flow_separable_gradients(gradient, *arguments, resampling),
    )
    torch.testing.assert_close(gradients, torch.autograd.grad(result, arguments, gradient))
    meta = [each.detach().to("meta") for each in (gradient, *arguments)]
    assert reference.flow_separable_forward(*meta[1:], resampling).is_meta
    assert reference.flow_separable_by_sampling(*meta[1:], resampling).is_meta
    assert reference.flow_separable_frame_gradient(*meta, resampling).is_meta
    assert all(each.is_meta for each in reference.flow_separable_gradients(*meta, resampling))


@pytest.mark.parametrize("message", INVALID)
def test_invalid_tensors_are_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flow_separable_convolution(*INVALID[message])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_cuda_equals_the_cpu(resampling: Resampling) -> None:
    arguments = inputs(n=2, taps=5, height=20, width=30)
    result = flow_separable_convolution(*(each.cuda() for each in arguments), resampling=resampling)
    expected = flow_separable_convolution(*arguments, resampling=resampling)
    torch.testing.assert_close(result.cpu(), expected, atol=1e-4, rtol=1e-4)
