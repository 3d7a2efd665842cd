"""Adaptive convolution: shapes, known values, a slow loop, gradients, errors, implementations."""

import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from midframe.ops import adaptive_convolution, dispatch
from midframe.ops.adaptive import halide, op, reference, triton
from midframe.ops.adaptive.op import MAX_TAPS

DEVICE = {triton: "cuda" if torch.cuda.is_available() else "cpu"}
"""Without a GPU Triton's interpreter runs its kernels on the CPU."""
SIZES = {
    "count": st.integers(1, 2),
    "several": st.integers(1, 3),
    "channels": st.integers(1, 11),
    "taps": st.sampled_from([1, 3, 5, 17]),
    "height": st.integers(1, 4),
    "width": st.integers(1, 5),
    "stride": st.sampled_from([1, 2, 8]),
}


def inputs(
    count: int = 1,
    several: int = 2,
    channels: int = 3,
    taps: int = 5,
    height: int = 4,
    width: int = 6,
    stride: int = 1,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor, int]:
    generator = torch.Generator().manual_seed(0)
    extent = (stride * (height - 1) + taps, stride * (width - 1) + taps)
    frames = torch.rand(count, several, channels, *extent, generator=generator)
    kernels = torch.randn(count, several, taps, taps, height, width, generator=generator).to(dtype)
    return frames, kernels, stride


def slow_loop(frames: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Compute the result by its definition, one output pixel at a time."""
    count, _, taps, _, height, width = kernels.shape
    result = torch.zeros(count, frames.shape[2], height, width, dtype=torch.float64)
    for n, y, x in torch.cartesian_prod(
        torch.arange(count), torch.arange(height), torch.arange(width)
    ).tolist():
        patch = frames[
            n, :, :, stride * y : stride * y + taps, stride * x : stride * x + taps
        ].double()
        result[n, :, y, x] = torch.einsum("fcij,fij->c", patch, kernels[n, ..., y, x].double())
    return result


def slow_gradients(
    gradient: Tensor, frames: Tensor, kernels: Tensor, stride: int
) -> tuple[Tensor, ...]:
    exact = [each.double().requires_grad_() for each in (frames, kernels)]
    products = [
        exact[0][..., i : i + stride * (kernels.shape[4] - 1) + 1 : stride, :][
            ..., j : j + stride * (kernels.shape[5] - 1) + 1 : stride
        ]
        * exact[1][:, :, None, i, j]
        for i in range(kernels.shape[2])
        for j in range(kernels.shape[2])
    ]
    result = torch.stack(products).sum((0, 2))
    return torch.autograd.grad(result, exact, gradient.double())


def on(module: Any, *tensors: Tensor) -> list[Tensor]:
    return [each.to(DEVICE.get(module, "cpu")) for each in tensors]


def test_shape_and_type_follow_the_frames() -> None:
    result = adaptive_convolution(
        *inputs(count=2, channels=4, height=3, width=5, dtype=torch.bfloat16)
    )
    assert result.shape == (2, 4, 3, 5)
    assert result.dtype == torch.float32


@pytest.mark.parametrize(("frame", "down", "right"), [(0, 0, 0), (1, 2, -1), (0, -2, 2)])
def test_a_delta_kernel_shifts_one_frame(frame: int, down: int, right: int) -> None:
    frames, kernels, _ = inputs(taps=5, height=6, width=7)
    kernels = torch.zeros_like(kernels)
    kernels[:, frame, 2 + down, 2 + right] = 1
    expected = frames[:, frame, :, 2 + down : 8 + down, 2 + right : 9 + right]
    torch.testing.assert_close(adaptive_convolution(frames, kernels), expected)


def test_constant_kernels_equal_an_ordinary_convolution() -> None:
    frames, kernels, stride = inputs(channels=1, stride=2)
    same = kernels[..., :1, :1].expand_as(kernels)
    expected = functional.conv2d(frames[:, :, 0], same[:, :, :, :, 0, 0], stride=2)
    torch.testing.assert_close(
        adaptive_convolution(frames, same, stride), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("module", [halide, reference, triton])
@settings(max_examples=12, deadline=None)
@given(dtype=st.sampled_from([torch.float32, torch.bfloat16]), **SIZES)
def test_every_implementation_equals_the_slow_loop(module: Any, **sizes: Any) -> None:
    frames, kernels, stride = inputs(**sizes)
    result = module.adaptive_forward(*on(module, frames, kernels), stride)
    torch.testing.assert_close(
        result.cpu().double(), slow_loop(frames, kernels, stride), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("module", [halide, reference, triton])
@settings(max_examples=12, deadline=None)
@given(dtype=st.sampled_from([torch.float32, torch.bfloat16]), **SIZES)
def test_gradients_of_every_implementation_equal_the_slow_loop(module: Any, **sizes: Any) -> None:
    frames, kernels, stride = inputs(**sizes)
    gradient = torch.randn(len(frames), frames.shape[2], *kernels.shape[4:])
    arguments = (*on(module, gradient, frames, kernels), stride)
    frame_gradient, kernel_gradient = slow_gradients(gradient, frames, kernels, stride)
    result = module.adaptive_frame_gradient(*arguments)
    assert result.is_contiguous()
    torch.testing.assert_close(result.cpu().double(), frame_gradient, atol=1e-4, rtol=1e-4)
    tolerance = 1e-4 if kernels.dtype == torch.float32 else 2e-2
    result = module.adaptive_kernel_gradient(*arguments)
    assert result.dtype == kernels.dtype
    torch.testing.assert_close(
        result.cpu().double(), kernel_gradient, atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize("module", [halide, reference, triton])
def test_kernels_of_the_paper_and_27_channels_are_supported(module: Any) -> None:
    frames, kernels, stride = inputs(channels=27, taps=41, height=2, width=1, stride=8)
    result = module.adaptive_forward(*on(module, frames, kernels), stride)
    torch.testing.assert_close(
        result.cpu().double(), slow_loop(frames, kernels, stride), atol=1e-3, rtol=1e-4
    )


def test_gradients_pass_gradcheck_in_float64() -> None:
    frames, kernels, _ = inputs(taps=3, height=2, width=3, stride=2)
    float64_inputs = [each.double().requires_grad_() for each in (frames, kernels)]
    assert torch.autograd.gradcheck(
        lambda *arguments: adaptive_convolution(*arguments, stride=2), float64_inputs
    )


def test_the_reference_computes_in_float64_on_the_device_of_its_inputs() -> None:
    frames, kernels, stride = inputs(taps=3, height=2, width=3, stride=2)
    exact = torch.randn(1, 3, 2, 3).double(), frames.double(), kernels.double()
    results = [
        reference.adaptive_forward(*exact[1:], stride),
        reference.adaptive_frame_gradient(*exact, stride),
        reference.adaptive_kernel_gradient(*exact, stride),
    ]
    expected = [slow_loop(*exact[1:], stride), *slow_gradients(*exact, stride)]
    torch.testing.assert_close(results, expected, atol=1e-12, rtol=0)
    meta = [each.to("meta") for each in exact]
    assert reference.adaptive_forward(*meta[1:], stride).is_meta
    assert reference.adaptive_frame_gradient(*meta, stride).is_meta
    assert reference.adaptive_kernel_gradient(*meta, stride).is_meta


def test_the_operator_passes_opcheck() -> None:
    frames, kernels, _ = inputs(taps=3, height=4, width=16)
    arguments = (frames.requires_grad_(), kernels.requires_grad_(), 1)
    torch.library.opcheck(torch.ops.midframe.adaptive_convolution.default, arguments)


def test_kernels_with_taps_innermost_give_the_same_result() -> None:
    frames, kernels, stride = inputs(count=2)
    innermost = kernels.permute(0, 4, 5, 1, 2, 3).contiguous().permute(0, 3, 4, 5, 1, 2)
    assert torch.equal(
        adaptive_convolution(frames, innermost, stride),
        adaptive_convolution(frames, kernels, stride),
    )


def test_frames_may_be_non_contiguous_views() -> None:
    frames, kernels, _ = inputs(height=8, width=8)
    shifted = frames[..., 2:, 1:]
    shorter = kernels[..., :6, :7]
    assert torch.equal(
        adaptive_convolution(shifted, shorter), adaptive_convolution(shifted.contiguous(), shorter)
    )


INVALID = {
    "rank 5": (torch.rand(1, 3, 9, 9), torch.rand(1, 2, 3, 3, 7, 7), 1),
    "rank 6": (torch.rand(1, 2, 3, 9, 9), torch.rand(1, 9, 7, 7), 1),
    "stride is 0": (torch.rand(1, 2, 3, 9, 9), torch.rand(1, 2, 3, 3, 7, 7), 0),
    "square": (torch.rand(1, 2, 3, 9, 9), torch.rand(1, 2, 3, 5, 7, 7), 1),
    "odd": (torch.rand(1, 2, 3, 9, 9), torch.rand(1, 2, 4, 4, 7, 7), 1),
    r"frames must be \(1, 2, C, 9, 9\)": (
        torch.rand(1, 2, 3, 8, 9),
        torch.rand(1, 2, 3, 3, 7, 7),
        1,
    ),
    r"must be \(1, 2, C, 15, 15\)": (torch.rand(1, 2, 3, 9, 9), torch.rand(1, 2, 3, 3, 7, 7), 2),
    "empty": (torch.rand(1, 2, 0, 9, 9), torch.rand(1, 2, 3, 3, 7, 7), 1),
    "floating": (torch.ones(1, 2, 3, 9, 9, dtype=torch.uint8), torch.rand(1, 2, 3, 3, 7, 7), 1),
    "one device": (torch.rand(1, 2, 3, 9, 9), torch.rand(1, 2, 3, 3, 7, 7, device="meta"), 1),
}


OF_ONE_FRAME = torch.rand(1, 1, 3, 9, 9), torch.rand(1, 1, 3, 3, 7, 7)
INVALID_SIZES = {
    r"must be \(1, 2, C, 9, 9\)": (OF_ONE_FRAME[0], torch.rand(1, 2, 3, 3, 7, 7)),
    r"must be \(2, 1, C, 9, 9\)": (OF_ONE_FRAME[0], torch.rand(2, 1, 3, 3, 7, 7)),
    r"must be \(1, 1, C, 9, 8\)": (OF_ONE_FRAME[0], torch.rand(1, 1, 3, 3, 7, 6)),
    "empty": (torch.rand(1, 1, 3, 9, 2), torch.rand(1, 1, 3, 3, 7, 0)),
    "floating": (OF_ONE_FRAME[0], torch.ones(1, 1, 3, 3, 7, 7, dtype=torch.uint8)),
}


@pytest.mark.parametrize("message", INVALID_SIZES)
def test_each_size_and_type_of_both_tensors_is_checked(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adaptive_convolution(*INVALID_SIZES[message])


@pytest.mark.parametrize("taps", [MAX_TAPS, MAX_TAPS + 2])
def test_kernels_beyond_the_fast_implementations_are_accepted(taps: int) -> None:
    frames, kernels, stride = inputs(several=1, channels=1, taps=taps, height=1, width=1)
    result = adaptive_convolution(frames.double(), kernels)
    torch.testing.assert_close(result, slow_loop(frames, kernels, stride))


def test_each_device_has_its_implementation() -> None:
    assert (op.load_halide(), op.load_triton()) == (halide, triton)
    frames, _, _ = inputs()
    assert op._implementation(frames) is halide
    assert op._implementation(frames.double()) is reference


@pytest.mark.parametrize("needed", ["frames", "kernels"])
def test_only_needed_gradients_are_computed_from_a_contiguous_one(
    needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[tuple[str, bool]] = []

    class Recorder:
        adaptive_forward = staticmethod(reference.adaptive_forward)

        def adaptive_frame_gradient(self, gradient: Tensor, frames: Tensor, *_: Any) -> Tensor:
            computed.append(("frames", gradient.is_contiguous()))
            return torch.zeros_like(frames)

        def adaptive_kernel_gradient(self, *arguments: Any) -> Tensor:
            computed.append(("kernels", arguments[0].is_contiguous()))
            return reference.empty_taps_innermost(arguments[2]).zero_()

    monkeypatch.setattr(op, "_implementation", lambda _: Recorder())
    frames, kernels, stride = inputs()
    {"frames": frames, "kernels": kernels}[needed].requires_grad_()
    adaptive_convolution(frames, kernels, stride).sum().backward()
    assert computed == [(needed, True)]


@pytest.mark.parametrize("message", INVALID)
def test_invalid_tensors_are_refused_with_their_shapes(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adaptive_convolution(*INVALID[message])


def test_without_halide_there_is_one_warning_and_the_reference_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "halide", None)
    monkeypatch.delitem(sys.modules, "midframe.ops.adaptive.halide")
    monkeypatch.setattr(dispatch, "_loaded", {})
    frames, kernels, stride = inputs()
    with pytest.warns(
        UserWarning, match="halide is not installed; using the slower PyTorch implementation"
    ):
        result = adaptive_convolution(frames, kernels, stride)
    assert torch.equal(adaptive_convolution(frames, kernels, stride), result)
    torch.testing.assert_close(
        result.double(), slow_loop(frames, kernels, stride), atol=1e-4, rtol=1e-4
    )


def test_a_halide_that_cannot_be_loaded_is_not_reported_as_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load() -> None:
        raise ImportError("libHalide.so: failed to map segment", name="halide")

    monkeypatch.setattr(dispatch, "_loaded", {})
    with pytest.warns(UserWarning, match="halide cannot be loaded .*failed to map segment"):
        assert dispatch.load_optional(load) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_the_cpu() -> None:
    frames, kernels, _ = inputs(count=2, taps=41, height=6, width=7)
    result = adaptive_convolution(frames.cuda(), kernels.cuda())
    torch.testing.assert_close(
        result.cpu(), adaptive_convolution(frames, kernels), atol=1e-3, rtol=1e-4
    )


def test_an_import_error_in_an_implementation_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "midframe.ops.adaptive.halide", None)
    monkeypatch.setattr(dispatch, "_loaded", {})
    with pytest.raises(ImportError, match=r"midframe\.ops\.adaptive\.halide"):
        adaptive_convolution(*inputs())
