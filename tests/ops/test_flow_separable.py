"""The ladder of separable convolution along a flow: known values, a slow loop, gradients, errors,
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
    """Flows that lead beyond the frame too, whose size is another than the result's."""
    generator = torch.Generator().manual_seed(0)
    frame = torch.rand(n, c, height + 3, width + 2, generator=generator)
    flow = torch.randn(n, 2, height, width, generator=generator) * 4
    kernels = [torch.randn(n, taps, height, width, generator=generator).to(dtype) for _ in range(2)]
    return frame, flow, kernels[0], kernels[1]


def slow(
    frame: Tensor, flow: Tensor, vertical: Tensor, horizontal: Tensor, resampling: str = "linear"
) -> Tensor:
    """The definition, one output value and one tap at a time."""
    count, taps, height, width = vertical.shape
    result = torch.zeros(count, frame.shape[1], height, width, dtype=torch.float64)
    for n, y, x in torch.cartesian_prod(
        *(torch.arange(size) for size in (count, height, width))
    ).tolist():
        for i in range(taps):
            for j in range(taps):
                weight = (vertical[n, i, y, x].double() * horizontal[n, j, y, x].double()).item()
                place = (
                    y + flow[n, 1, y, x].item() + i - taps // 2,
                    x + flow[n, 0, y, x].item() + j - taps // 2,
                )
                result[n, :, y, x] += weight * sample(frame[n].double(), *place, resampling)
    return result


def sample(frame: Tensor, y: float, x: float, resampling: str) -> Tensor:
    top, left = math.floor(y), math.floor(x)
    total = torch.zeros(len(frame), dtype=torch.float64)
    for row in range(top - 1, top + 3):
        for column in range(left - 1, left + 3):
            inside = (min(max(row, 0), frame.shape[1] - 1), min(max(column, 0), frame.shape[2] - 1))
            weight = PROFILES[resampling](abs(y - row)) * PROFILES[resampling](abs(x - column))
            total += weight * frame[:, inside[0], inside[1]]
    return total


def keys(distance: float, a: float = -0.5) -> float:
    """Equation 15 of Keys' paper, for any a (his equation 8)."""
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
    there = [each.to(DEVICE.get(module, "cpu")) for each in arguments]
    made = module.flow_separable_forward(*there, resampling).cpu()
    torch.testing.assert_close(made.double(), slow(*arguments, resampling), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("module", [halide, reference, triton])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # of the interpreter
def test_pixels_whose_flow_is_not_finite_are_nan(module: Any, resampling: Resampling) -> None:
    frame, flow, *kernels = inputs(taps=3, height=3)
    flow[0, 0, 0, 1], flow[0, 1, 1, 2], flow[0, 0, 2, 3] = math.nan, math.inf, -math.inf
    finite = flow.isfinite().all(1)[:, None].expand(-1, 3, -1, -1)
    there = [each.to(DEVICE.get(module, "cpu")) for each in (frame, flow, *kernels)]
    made = module.flow_separable_forward(*there, resampling).cpu()
    expected = reference.flow_separable_forward(
        frame, flow.where(finite[:, :2], 0.0), *kernels, resampling
    )
    torch.testing.assert_close(
        made, expected.where(finite, math.nan), equal_nan=True, atol=1e-4, rtol=1e-4
    )
    gradients = module.flow_separable_gradients(
        torch.ones_like(made).to(there[0]), *there, resampling
    )
    assert all(each.cpu().movedim(1, -1)[finite[:, 0]].isfinite().all() for each in gradients)
    module.flow_separable_frame_gradient(torch.ones_like(made).to(there[0]), *there, resampling)


@pytest.mark.slow
@pytest.mark.parametrize("module", [halide, triton])
@pytest.mark.parametrize("dtype", TYPES)
@settings(max_examples=12, deadline=None)
@given(**SIZES)
def test_fast_gradients_equal_the_plain_ones(
    module: Any, dtype: torch.dtype, resampling: str, **sizes: int
) -> None:
    arguments = inputs(**sizes, dtype=dtype)
    gradient = torch.randn(len(arguments[0]), arguments[0].shape[1], *arguments[1].shape[2:])
    there = [each.to(DEVICE.get(module, "cpu")) for each in (gradient, *arguments)]
    of_frame = module.flow_separable_frame_gradient(*there, resampling).cpu()
    expected = reference.flow_separable_frame_gradient(gradient, *arguments, resampling)
    torch.testing.assert_close(of_frame, expected, atol=1e-3, rtol=1e-3)
    fast = tuple(each.cpu() for each in module.flow_separable_gradients(*there, resampling))
    plain = reference.flow_separable_gradients(gradient, *arguments, resampling)
    assert [each.dtype for each in fast] == [torch.float32, dtype, dtype]
    tolerance = (
        {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 0.1, "rtol": 2e-2}
    )
    torch.testing.assert_close(fast, plain, **tolerance)


def test_frames_may_have_more_colours_than_rows_and_flows_of_float64() -> None:
    frame, flow, *kernels = inputs(c=9, taps=1, height=1, width=3)
    arguments = frame, flow.double(), *kernels
    gradient = torch.randn(1, 9, 1, 3)
    made = (
        halide.flow_separable_forward(*arguments, "linear"),
        *halide.flow_separable_gradients(gradient, *arguments, "linear"),
    )
    expected = (
        reference.flow_separable_forward(*arguments, "linear"),
        *reference.flow_separable_gradients(gradient, *arguments, "linear"),
    )
    for one, other in zip(made, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, check_dtype=False)
        assert one.is_contiguous()


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_gradients_are_right_in_float64(taps: int, resampling: Resampling) -> None:
    given = inputs(n=2, c=2, taps=taps, height=2, width=3)
    arguments = tuple(each.double().requires_grad_() for each in given)
    operator = partial(flow_separable_convolution, resampling=resampling)
    assert torch.autograd.gradcheck(operator, arguments)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_gradients_are_right_through_halide(resampling: Resampling) -> None:
    operator = partial(flow_separable_convolution, resampling=resampling)
    arguments = [each.requires_grad_() for each in inputs()]
    weight = torch.randn(1, 3, 6, 18)
    fast = torch.autograd.grad((operator(*arguments) * weight).sum(), arguments)
    exact = [each.detach().double().requires_grad_() for each in arguments]
    plain = torch.autograd.grad((operator(*exact) * weight.double()).sum(), exact)
    for got, expected in zip(fast, plain, strict=True):
        torch.testing.assert_close(got.double(), expected, atol=1e-4, rtol=1e-4)


def test_one_tap_is_backward_warping() -> None:
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
def test_sampling_for_other_programs_is_the_same(taps: int, resampling: str) -> None:
    arguments = inputs(n=2, taps=taps)
    made = reference.flow_separable_by_sampling(*arguments, resampling)
    expected = reference.flow_separable_forward(*arguments, resampling)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, -1), (-3, 1)])
def test_a_delta_kernel_and_a_whole_flow_shift_the_frame(
    right: int, down: int, resampling: Resampling
) -> None:
    frame = torch.rand(1, 3, 12, 20)
    flow = torch.tensor([right, down]).float().view(1, 2, 1, 1).expand(1, 2, 12, 20)
    delta = torch.zeros(1, 5, 12, 20)
    delta[:, 2] = 1
    made = flow_separable_convolution(frame, flow, delta, delta, resampling=resampling)
    expected = frame.roll((-down, -right), (2, 3))
    assert torch.equal(made[..., 1:-1, 3:-3], expected[..., 1:-1, 3:-3])


def test_cubic_keeps_more_of_a_fine_texture_than_linear() -> None:
    columns, delta = torch.arange(40.0), torch.ones(1, 1, 1, 40)
    frame = (columns * 1.5).sin().expand(1, 1, 1, 40)
    flow = torch.zeros(1, 2, 1, 40)
    flow[:, 0] = 0.5
    wrong = [
        (
            flow_separable_convolution(frame, flow, delta, delta, resampling=each)
            - ((columns + 0.5) * 1.5).sin()
        )
        for each in ("linear", "cubic")
    ]
    linear, cubic = (each[..., 4:-4].abs().max() for each in wrong)
    assert cubic < 0.5 * linear


def test_an_unknown_resampling_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="resampling is 'sinc': choose from linear, cubic"):
        flow_separable_convolution(*inputs(), resampling="sinc")  # type: ignore[arg-type]


def test_no_flow_is_separable_convolution() -> None:
    _, _, vertical, horizontal = inputs()
    frame = torch.rand(1, 3, 10, 22)
    flow = torch.full((1, 2, 6, 18), 2.0)  # from the padding's corner to the pixel
    expected = separable_convolution(frame, vertical, horizontal)
    torch.testing.assert_close(
        flow_separable_convolution(frame, flow, vertical, horizontal),
        expected,
        atol=1e-5,
        rtol=1e-5,
    )


def test_flows_without_end_stay_on_the_frame() -> None:
    frame, flow, vertical, horizontal = inputs(taps=1)
    flow[:, 0] = 1e12
    made = flow_separable_convolution(
        frame, flow, torch.ones_like(vertical), torch.ones_like(horizontal)
    )
    assert made.isfinite().all()
    assert made.max() <= frame.max() + 1e-5


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_it_is_a_well_behaved_torch_operator(resampling: str) -> None:
    arguments = (
        *(each.requires_grad_() for each in inputs(taps=3, height=4, width=16)),
        resampling,
    )
    torch.library.opcheck(torch.ops.midframe.flow_separable_convolution.default, arguments)


def test_under_autocast_kernels_keep_their_type_and_sums_are_float32() -> None:
    frame, flow, vertical, horizontal = inputs(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        made = flow_separable_convolution(frame, flow.bfloat16(), vertical, horizontal)
    assert made.dtype == torch.float32
    expected = slow(frame, flow.bfloat16().float(), vertical, horizontal)
    torch.testing.assert_close(made.double(), expected, atol=1e-4, rtol=1e-4)


def test_transposed_memory_gives_the_same_result() -> None:
    arguments = inputs(n=2)
    turned = [each.contiguous(memory_format=torch.channels_last) for each in arguments]
    assert torch.equal(flow_separable_convolution(*turned), flow_separable_convolution(*arguments))


FRAME, FLOW, KERNEL = torch.rand(1, 3, 8, 8), torch.rand(1, 2, 7, 7), torch.rand(1, 3, 7, 7)
BAD = {
    "rank": (FRAME[0], FLOW, KERNEL, KERNEL),
    "one shape": (FRAME, FLOW, KERNEL, torch.rand(1, 5, 7, 7)),
    "odd": (FRAME, FLOW, torch.rand(1, 4, 7, 7), torch.rand(1, 4, 7, 7)),
    "the flow must be": (FRAME, torch.rand(1, 2, 7, 8), KERNEL, KERNEL),
    "empty": (torch.rand(1, 0, 8, 8), FLOW, KERNEL, KERNEL),
    "floating": (FRAME.byte(), FLOW, KERNEL, KERNEL),
    "of one type": (FRAME, FLOW, KERNEL, KERNEL.double()),
    "one device": (FRAME, FLOW, KERNEL.to("meta"), KERNEL.to("meta")),
}


ALSO_BAD = {
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


@pytest.mark.parametrize("complaint", ALSO_BAD)
def test_each_size_type_and_device_is_checked(complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        flow_separable_convolution(*ALSO_BAD[complaint])


@pytest.mark.parametrize("taps", [op.MAX_TAPS, op.MAX_TAPS + 2])
def test_long_kernels_are_accepted(taps: int) -> None:
    arguments = inputs(taps=taps, height=1, width=2)
    found = flow_separable_convolution(*(each.double() for each in arguments))
    torch.testing.assert_close(found, slow(*arguments), atol=1e-4, rtol=1e-4)


def test_each_device_has_its_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    check_dispatch(op, halide, triton, reference, (FRAME, KERNEL), monkeypatch)


@pytest.mark.parametrize(
    ("needed", "expected"), [(0, ["frame"]), (1, ["others"]), (2, ["others"]), (3, ["others"])]
)
def test_only_needed_gradients_are_computed_from_a_contiguous_one(
    needed: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Recorder:
        flow_separable_forward = staticmethod(reference.flow_separable_forward)

        def flow_separable_frame_gradient(self, gradient: Tensor, *given: Any) -> Tensor:
            assert gradient.is_contiguous()
            asked.append("frame")
            return torch.zeros_like(given[0])

        def flow_separable_gradients(self, gradient: Tensor, *given: Any) -> Any:
            assert gradient.is_contiguous()
            asked.append("others")
            return tuple(torch.zeros_like(each) for each in given[1:4])

    def choose(frame: Tensor, kernel: Tensor) -> Recorder:
        assert (frame.shape, kernel.shape) == (arguments[0].shape, arguments[2].shape)
        return Recorder()

    monkeypatch.setattr(op, "_implementation", choose)
    arguments = inputs()
    arguments[needed].requires_grad_()
    flow_separable_convolution(*arguments).sum().backward()
    assert asked == expected


def test_flows_of_less_precision_are_converted_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[torch.dtype] = []
    monkeypatch.setattr(
        op, "_flow_separable", lambda *given: found.append(given[1].dtype) or given[0]
    )
    frame, flow, *kernels = inputs()
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        flow_separable_convolution(frame, flow.to(dtype), *kernels)
    assert found == [torch.float32, torch.float32, torch.float32, torch.float64]


def test_standard_operators_are_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("the operator is called")

    monkeypatch.setattr(op, "_flow_separable", fail)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    arguments = inputs(taps=3, height=2, width=3)
    found = flow_separable_convolution(*arguments, resampling="cubic")
    assert torch.equal(found, reference.flow_separable_by_sampling(*arguments, "cubic"))


def test_without_compilation_the_plain_form_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("the operator is called")

    monkeypatch.setattr(op, "_flow_separable", fail)
    arguments = inputs()
    with without_compilation():
        found = flow_separable_convolution(*arguments, resampling="cubic")
    assert torch.equal(found, reference.flow_separable_forward(*arguments, "cubic"))


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_the_plain_form_sums_float64_exactly_on_the_device_of_its_tensors(
    resampling: str,
) -> None:
    given = inputs(n=2, taps=3, height=2, width=3)
    arguments = [each.double().requires_grad_() for each in given]
    result = reference.flow_separable_forward(*arguments, resampling)
    expected = slow(*(each.detach() for each in arguments), resampling)
    torch.testing.assert_close(result.detach(), expected, atol=1e-12, rtol=0)
    gradient = torch.randn_like(result)
    found = (
        reference.flow_separable_frame_gradient(gradient, *arguments, resampling),
        *reference.flow_separable_gradients(gradient, *arguments, resampling),
    )
    torch.testing.assert_close(found, torch.autograd.grad(result, arguments, gradient))
    meta = [each.detach().to("meta") for each in (gradient, *arguments)]
    assert reference.flow_separable_forward(*meta[1:], resampling).is_meta
    assert reference.flow_separable_by_sampling(*meta[1:], resampling).is_meta
    assert reference.flow_separable_frame_gradient(*meta, resampling).is_meta
    assert all(each.is_meta for each in reference.flow_separable_gradients(*meta, resampling))


@pytest.mark.parametrize("complaint", BAD)
def test_wrong_tensors_are_refused_with_what_was_given(complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        flow_separable_convolution(*BAD[complaint])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_cuda_equals_the_cpu(resampling: Resampling) -> None:
    arguments = inputs(n=2, taps=5, height=20, width=30)
    result = flow_separable_convolution(*(each.cuda() for each in arguments), resampling=resampling)
    expected = flow_separable_convolution(*arguments, resampling=resampling)
    torch.testing.assert_close(result.cpu(), expected, atol=1e-4, rtol=1e-4)
