"""The steps of FlowSep without gradients: the Triton implementations equal the reference; without
a GPU Triton's interpreter runs them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from midframe.models.flowsep.steps.alignment import triton as alignment
from midframe.models.flowsep.steps.downsampling import triton as downsampling
from midframe.models.flowsep.steps.downsampling.reference import pad_to_multiple
from midframe.models.flowsep.steps.fields import triton as fields_step
from midframe.models.flowsep.steps.reference import ReferenceSteps
from midframe.models.flowsep.steps.synthesis import triton as synthesis

pytestmark = pytest.mark.slow

REFERENCE = ReferenceSteps()
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TYPES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Absolute tolerances by data type; steps that compute in float32 are compared more closely."""


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def on_device(*tensors: Tensor) -> list[Tensor]:
    return [tensor.to(DEVICE) for tensor in tensors]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(1, 5, 1, 1), (2, 1, 7, 19), (1, 3, 4, 40)])
def test_decoded_outputs_equal_the_reference(
    shape: tuple[int, ...], dtype: torch.dtype, normalise: bool
) -> None:
    samples, taps, height, width = shape
    outputs = (random(samples, 8 + 4 * taps, height, width) * 2 - 1).to(dtype)
    flow, time = (
        random(samples, 4, height, width) * 9,
        torch.tensor([0.0, 0.7])[:samples].view(-1, 1, 1, 1),
    )
    channels_last = outputs.contiguous(memory_format=torch.channels_last)
    output = fields_step.decode_outputs(*on_device(channels_last, flow, time), normalise)
    torch.testing.assert_close(
        output.cpu(), REFERENCE.decode_outputs(outputs, flow, time, normalise), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("size", "scale", "multiple"),
    [((1, 1), 2, 16), ((7, 19), 2, 1), ((33, 20), 4, 4), ((8, 8), 8, 1)],
)
def test_downsampling_equals_average_pooling(
    size: tuple[int, int], scale: int, multiple: int, dtype: torch.dtype
) -> None:
    frame = random(2, 4, *size).to(dtype)[:, :3]
    expected = pad_to_multiple(
        functional.avg_pool2d(pad_to_multiple(frame, scale).float(), scale), multiple
    )
    for each in (frame, frame.contiguous(memory_format=torch.channels_last)):
        output = downsampling.downsample(each.to(DEVICE), scale, multiple).cpu()
        assert output.dtype == dtype
        torch.testing.assert_close(output.float(), expected, atol=TYPES[dtype], rtol=0)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [(1, 1), (7, 19), (12, 40)])
def test_alignment_equals_the_reference(size: tuple[int, int], dtype: torch.dtype) -> None:
    first, second = random(2, 2, 3, *size).to(dtype)
    fields = random(2, 8 + 4 * 3, *size)
    fields[:, :4] = (fields[:, :4] - 0.5) * 30
    output = alignment.alignment(*on_device(first, second, fields))
    torch.testing.assert_close(
        output.cpu(), REFERENCE.alignment(first, second, fields), atol=1e-5, rtol=1e-4
    )


SIZE = 8, 38
RECTANGLES = {
    "full frame": (slice(0, 8), slice(0, 38)),
    "inside": (slice(3, 7), slice(5, 38)),
    "one pixel": (slice(7, 8), slice(37, 38)),
}


def synthesis_inputs(taps: int, channels: int, factor: int, reach: float = 6.0) -> list[Tensor]:
    fields = random(2, 8 + 4 * taps, *(-(-size // factor) for size in SIZE))
    fields[:, :4] = (fields[:, :4] - 0.5) * reach
    first, second = random(2, 2, channels, *SIZE)
    return [first, second, fields]


@pytest.mark.parametrize("rectangle", RECTANGLES)
@pytest.mark.parametrize(
    ("taps", "channels", "factor"), [(5, 3, 2), (1, 4, 4), (3, 3, 3), (7, 4, 1)]
)
def test_synthesis_equals_the_reference(
    taps: int, channels: int, factor: int, rectangle: str
) -> None:
    arguments, deviation = (
        synthesis_inputs(taps, channels, factor),
        torch.tensor([0.3, 2.0]).view(-1, 1, 1, 1),
    )
    output = synthesis.synthesise(
        *on_device(*arguments), factor, *RECTANGLES[rectangle], deviation.to(DEVICE)
    )
    expected = REFERENCE.synthesise(*arguments, factor, *RECTANGLES[rectangle], deviation)
    torch.testing.assert_close(output.cpu(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", TYPES)
def test_synthesis_of_16_bit_frames_and_fields_equals_the_reference(dtype: torch.dtype) -> None:
    arguments = [each.to(dtype) for each in synthesis_inputs(5, 3, 2, reach=80.0)]
    deviation = torch.ones(2, 1, 1, 1)
    output = synthesis.synthesise(
        *on_device(*arguments), 2, *RECTANGLES["full frame"], deviation.to(DEVICE)
    )
    expected = REFERENCE.synthesise(
        *(each.float() for each in arguments), 2, *RECTANGLES["full frame"], deviation
    )
    assert output.dtype == dtype
    torch.testing.assert_close(
        output.cpu().float(), expected, atol=max(1e-4, 4 * TYPES[dtype]), rtol=1e-2
    )


def keys(distance: Tensor) -> Tensor:
    """Return the weight of cubic convolution by distance (Keys 1981, a = -1/2)."""
    d = distance.abs()
    return torch.where(
        d < 1, (1.5 * d - 2.5) * d * d + 1, torch.where(d < 2, ((2.5 - 0.5 * d) * d - 4) * d + 2, 0)
    )


def test_cubic_synthesis_weights_pixels_by_the_kernel_of_keys() -> None:
    """With one tap of 1, a pixel is the cubic interpolation of the first frame at the position to
    which the flow points."""
    first, second = random(2, 1, 3, 9, 30).double()
    fields = torch.zeros(1, 12, 9, 30)
    fields[:, :2] = (random(1, 2, 9, 30) - 0.5) * 12
    fields[:, 4:9] = 1  # four kernels of one tap, and the mask
    rectangle = slice(0, 9), slice(0, 30)
    arguments = on_device(first.float(), second.float(), fields)
    output = synthesis.synthesise(
        *arguments, 1, *rectangle, torch.ones(1, 1, 1, 1, device=DEVICE), resampling="cubic"
    ).cpu()
    rows, columns = torch.arange(-20, 30), torch.arange(-20, 60)
    x, y = (
        torch.arange(30) + fields[0, 0].double(),
        torch.arange(9)[:, None] + fields[0, 1].double(),
    )
    across, down = (
        keys(x[..., None] - columns),
        keys(y[..., None] - rows),
    )  # (9, 30, columns or rows)
    padded = first[0][:, rows.clamp(0, 8)][:, :, columns.clamp(0, 29)]
    expected = torch.einsum("yxj,yxi,cij->cyx", across, down, padded)
    torch.testing.assert_close(output[0].double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from the arithmetic of the interpreter
def test_flows_that_are_not_finite_cause_no_invalid_memory_access() -> None:
    first, second, fields = synthesis_inputs(5, 3, 2)
    for left, value in ((0, float("nan")), (7, float("inf")), (14, 1e30)):  # 2 columns apart
        fields[:, :4, 1:3, left : left + 5] = value
    arguments, deviation = on_device(first, second, fields), torch.ones(2, 1, 1, 1, device=DEVICE)
    assert synthesis.synthesise(*arguments, 2, *RECTANGLES["full frame"], deviation).shape == (
        2,
        3,
        *SIZE,
    )
