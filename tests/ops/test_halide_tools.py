"""Tools of the Halide pipelines: supported tensors, views of memory, conversions."""

from typing import Any

import pytest
import torch
from torch import Tensor

hl = pytest.importorskip("halide")
import numpy as np  # noqa: E402

from midframe.ops import halide_tools  # noqa: E402  # it needs halide
from midframe.ops.halide_tools import (  # noqa: E402
    array,
    as_float,
    as_stored,
    buffer,
    buffer_view,
    channel_groups,
    channels_innermost,
    fetch_bilinear,
    interleaved_pixels,
    interleaved_rows,
    natural_lanes,
    storage,
    supports,
    supports_features,
    upsampling_source,
)

x, y, c, n = (hl.Var(name) for name in "xycn")


def layout(image: Any) -> list[tuple[int, int]]:
    """Return the extent and stride of each dimension."""
    return [(image.dim(k).extent(), image.dim(k).stride()) for k in range(image.dimensions())]


def address(image: Any) -> int:
    return int(np.asarray(image).ctypes.data)


@pytest.mark.parametrize(
    ("dtype", "frames", "features"),
    [
        (torch.float32, True, True), (torch.bfloat16, False, True),
        (torch.float16, False, False), (torch.float64, False, False),
    ],
)  # fmt: skip
def test_float32_frames_and_bfloat16_features_are_supported_on_the_cpu(
    dtype: torch.dtype, frames: bool, features: bool
) -> None:
    tensor = torch.zeros(1, dtype=dtype)
    assert (supports(tensor), supports_features(tensor)) == (frames, features)
    assert (supports(tensor.to("meta")), supports_features(tensor.to("meta"))) == (False, False)


def test_arrays_share_the_memory_of_tensors() -> None:
    tensor = torch.tensor([1.0, -2.0], requires_grad=True)
    view = array(tensor)
    assert (view.dtype, view.ctypes.data) == (np.float32, tensor.data_ptr())
    view = array(tensor.bfloat16())
    assert (view.dtype, view.tolist()) == (np.uint16, [0x3F80, 0xC000])


def test_buffers_share_the_memory_of_images_with_contiguous_rows() -> None:
    images = torch.rand(2, 3, 4, 5)
    for function in (buffer, buffer_view):
        assert layout(function(images)) == [(5, 1), (4, 5), (3, 20), (2, 60)]
        assert address(function(images)) == images.data_ptr()
    view = images[:, 1:, :, 1:4]
    assert layout(buffer(view)) == [(3, 1), (4, 5), (2, 20), (2, 60)]
    transposed = images.transpose(2, 3)
    assert layout(buffer(transposed)) == [(4, 1), (5, 4), (3, 20), (2, 60)]
    assert layout(buffer_view(transposed)) == [(4, 5), (5, 1), (3, 20), (2, 60)]
    assert np.array_equal(np.asarray(buffer(transposed)), np.asarray(buffer_view(transposed)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [3, 51])
def test_channels_last_images_are_copied_to_planes(channels: int, dtype: torch.dtype) -> None:
    planes = torch.rand(2, channels, 5, 7).to(dtype)
    innermost = planes.contiguous(memory_format=torch.channels_last)
    for expected, tensor in (
        (planes, innermost),
        (planes[:, 1:, :4, 2:], innermost[:, 1:, :4, 2:]),
    ):
        image = buffer(tensor)
        assert [stride for _, stride in layout(image)] == [*expected.contiguous().stride()[::-1]]
        assert np.array_equal(np.asarray(image), np.asarray(buffer(expected.contiguous())))


def test_buffers_with_channels_innermost_share_the_memory_of_channels_last_images() -> None:
    images = torch.rand(2, 3, 4, 5)
    innermost = images.contiguous(memory_format=torch.channels_last)
    for function, expected in (
        (channels_innermost, [(3, 1), (5, 3), (4, 15), (2, 60)]),
        (interleaved_rows, [(15, 1), (4, 15), (2, 60)]),
        (interleaved_pixels, [(60, 1), (2, 60)]),
    ):
        assert layout(function(images)) == expected
        assert address(function(innermost)) == innermost.data_ptr()
        pixels = sorted(np.asarray(function(images)).ravel().tolist())
        assert pixels == sorted(images.flatten().tolist())


def test_channels_are_divided_into_groups() -> None:
    assert channel_groups(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert channel_groups(3, 3) == [slice(0, 3)]


def test_the_number_of_simd_lanes_is_a_power_of_two() -> None:
    assert natural_lanes() in (4, 8, 16)


def evaluate(value: Any, count: int, *images: tuple[Any, Tensor]) -> list[Any]:
    """Evaluate an expression in x for x from 0 to `count` - 1."""
    result = hl.Func("result")
    result[x] = value
    for image, tensor in images:
        image.set(buffer(tensor))
    return np.asarray(result.realize([count])).tolist()


def test_bfloat16_is_stored_as_bits_and_rounded_to_nearest_even() -> None:
    generator = torch.Generator().manual_seed(0)
    ties = torch.tensor([0x3F808000, 0x3F818000, 0x3F818001, 0x3F817FFF], dtype=torch.int32)
    values = torch.cat((torch.randn(100, generator=generator), ties.view(torch.float32)))
    expected = values.bfloat16()
    image = hl.ImageParam(hl.Float(32), 1)
    bits = evaluate(as_stored(image[x], True), len(values), (image, values))
    assert bits == array(expected).tolist()
    assert evaluate(as_stored(image[x], False), len(values), (image, values)) == values.tolist()
    stored = hl.ImageParam(storage(True), 1)
    result = evaluate(as_float(stored[x], True), len(values), (stored, expected))
    assert result == expected.float().tolist()
    unchanged = hl.ImageParam(storage(False), 1)
    assert (
        evaluate(as_float(unchanged[x], False), len(values), (unchanged, values)) == values.tolist()
    )


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_upsampling_sources_are_those_of_bilinear_interpolation(factor: int) -> None:
    index, weight = upsampling_source(x, factor)
    positions = evaluate(index, 3 * factor), evaluate(weight, 3 * factor)
    for number, (pixel, fraction) in enumerate(zip(*positions, strict=True)):
        assert 0 <= fraction < 1
        assert pixel + fraction == pytest.approx((number + 0.5) / factor - 0.5)


@pytest.mark.parametrize("bf16", [False, True])
def test_pixels_are_fetched_with_bilinear_interpolation(bf16: bool) -> None:
    stored = torch.arange(24.0).reshape(2, 3, 4, 1)  # (n, y, x, c)
    stored[0, 1, 2] = 100
    image = hl.ImageParam(storage(bf16), 4)
    value = fetch_bilinear(image, 0, 0, (1, 2, 0.25), (0, 1, 0.75), bf16=bf16)
    tensor = stored.bfloat16() if bf16 else stored
    upper, lower = 1 + 0.25 * (2 - 1), 5 + 0.25 * (100 - 5)
    assert evaluate(value, 1, (image, tensor)) == [0.25 * upper + 0.75 * lower]


def test_pipelines_are_identified_by_their_builder_and_arguments() -> None:
    @halide_tools.cached_pipeline
    def build(channels: int, name: str) -> halide_tools.Pipeline:
        result = hl.Func(name)
        result[x] = hl.f32(channels)
        return halide_tools.Pipeline(result)

    @halide_tools.cached_pipeline
    def build_named() -> halide_tools.Pipeline:
        pipeline = build(1, "named")
        pipeline.identity = ("chosen",)
        return pipeline

    pipeline = build(3, "result")
    assert pipeline.identity is not None
    assert pipeline.identity[0] == __name__
    assert pipeline.identity[1].endswith("build")
    assert pipeline.identity[2] == "(3, 'result')"
    assert build_named().identity == ("chosen",)
    assert build.__name__ == "build"
    values = np.zeros(5, np.float32)
    pipeline(hl.Buffer(values))
    assert values.tolist() == [3] * 5
